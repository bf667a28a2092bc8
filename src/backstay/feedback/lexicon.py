"""Word and phrase matching on normalised text, shared by the parts of the gold rule."""

import re
import unicodedata
from collections.abc import Iterable

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u2032`", "'"))
_SHORTEST_STEM = 4


def normalise(text: str) -> str:
    """Lower case, straight apostrophes, single spaces: the form that the sentence patterns expect."""
    return " ".join(text.translate(_APOSTROPHES).lower().split())


def words(text: str) -> list[str]:
    """Lower-case words without accents or punctuation; "Don't" is one word, "0.9" is two."""
    plain = unicodedata.normalize("NFKD", normalise(text))
    return _WORD.findall("".join(char for char in plain if not unicodedata.combining(char)))


def matches(phrase: str, text_words: list[str]) -> bool:
    """True when the words of `phrase` occur in a row; its last word may be the beginning of a longer one.

    A last word of fewer than four letters must match exactly or with a plural s, so that "oil" is not in "oily".
    """
    return _position(words(phrase), text_words) is not None


def hits(phrases: Iterable[str], text_words: list[str]) -> list[str]:
    """Those of `phrases` that occur."""
    return [phrase for phrase in phrases if matches(phrase, text_words)]


def without(phrases: Iterable[str], text_words: list[str]) -> list[str]:
    """The words that are left when every occurrence of the phrases is cut out."""
    left = list(text_words)
    for phrase in phrases:
        wanted = words(phrase)
        while (start := _position(wanted, left)) is not None:
            del left[start : start + len(wanted)]
    return left


def repeated_share(text_words: list[str], n: int = 3) -> float:
    """Share of n-grams that occurred before; 0 for fewer than n words."""
    grams = [tuple(text_words[i : i + n]) for i in range(len(text_words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _position(wanted: list[str], text_words: list[str]) -> int | None:
    for start in range(len(text_words) - len(wanted) + 1 if wanted else 0):
        row = text_words[start : start + len(wanted)]
        if row[:-1] == wanted[:-1] and _last_fits(wanted[-1], row[-1]):
            return start
    return None


def _last_fits(stem: str, word: str) -> bool:
    if len(stem) >= _SHORTEST_STEM:
        return word.startswith(stem)
    return word in {stem, stem + "s", stem + "'s"}
