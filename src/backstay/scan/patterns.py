"""Phrases and guarded regular expressions over the words of a text, for rules written by operators.

A phrase is words in a row. `word*` is a word with any ending; `...` stands for up to four words. The text is first
reduced to lower-case words with single spaces, so spelling with punctuation or line breaks makes no difference.
"""

import re
from collections.abc import Iterable

from backstay.errors import UsageError
from backstay.feedback.lexicon import words

MAX_CHARACTERS = 50_000
"""Characters of a text that are searched."""

MAX_PATTERN = 200
"""Characters of an operator's regular expression."""

MAX_PATHS = 2500
"""Bound on branches times repeats of a regular expression, which bounds its backtracking at each position."""

_WILD = "[a-z0-9']{0,20}"
_GAP = r"(?: [a-z0-9']{1,40}){0,4}"
_PIECE = re.compile(
    r"(?P<plain>\\[^0-9]|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?:|[^\\\[(){}*+?|])|(?P<back>\\[0-9])|(?P<special>\(\?)"
    r"|(?P<group>\)[*+{])|(?P<endless>[*+]|\{\d*,\})|(?P<repeat>\{(?:\d{1,4},)?(?P<most>\d{1,4})\}\??)"
    r"|(?P<maybe>\?)|(?P<branch>\|)|(?P<bracket>[()])|(?P<other>.)",
    re.DOTALL,
)
_REFUSED = {
    "back": "has a back-reference",
    "special": "has a (?...) group other than (?:...)",
    "group": "repeats a group",
    "endless": "has an unbounded repeat",
    "other": "has a stray brace, bracket or backslash",
}


def plain_words(text: str) -> str:
    """The form that patterns are searched in: lower-case words, one space between them and at both ends."""
    return f" {' '.join(words(text[:MAX_CHARACTERS]))} "


def compile_phrase(phrase: str) -> re.Pattern[str]:
    """A phrase as a pattern over `plain_words`; raises UsageError for one without a word."""
    parts: list[str] = []
    for part in phrase.split():
        if part == "...":
            parts.append(_GAP)
            continue
        stem = " ".join(words(part.rstrip("*")))
        if not stem:
            raise UsageError(f"phrase {phrase!r} has {part!r} in it, which is no word", cure="use words, * and ...")
        parts.append(" " + re.escape(stem) + (_WILD if part.endswith("*") else ""))
    if not set(parts) - {_GAP}:
        raise UsageError(f"phrase {phrase!r} has no word", cure="write at least one word")
    return re.compile("".join(parts) + "(?= )")


def compile_regex(source: str) -> re.Pattern[str]:
    """An operator's regular expression over `plain_words`, refused unless its backtracking is bounded.

    Refused: more than 200 characters, `*`, `+`, `{n,}`, back-references, (?...) other than (?:...), a group repeated
    other than by `?`, and more than 2,500 paths through branches and repeats. Raises UsageError.
    """
    problem = f"is {len(source)} characters long" if len(source) > MAX_PATTERN else _danger(source)
    if problem:
        raise UsageError(
            f"regular expression {source!r} {problem}",
            cure="use phrases, or bounded repeats of single characters such as [a-z]{0,40}",
        )
    try:
        return re.compile(source)
    except re.error as error:
        raise UsageError(f"regular expression {source!r} does not compile: {error}", cure="correct it") from error


def first_match(patterns: Iterable[re.Pattern[str]], plain: str) -> str | None:
    """What the first fitting pattern matched in `plain_words` of a text, or None."""
    for pattern in patterns:
        match = pattern.search(plain)
        if match:
            return match.group().strip()
    return None


def _danger(source: str) -> str | None:
    """Why a regular expression may run away, or None."""
    paths = 1
    for piece in _PIECE.finditer(source):
        kind = piece.lastgroup or "other"
        if kind in _REFUSED:
            return f"{_REFUSED[kind]} at character {piece.start() + 1}"
        if piece["most"]:
            paths *= int(piece["most"]) + 1
        elif kind in {"maybe", "branch"}:
            paths *= 2
    return f"has more than {MAX_PATHS} paths" if paths > MAX_PATHS else None
