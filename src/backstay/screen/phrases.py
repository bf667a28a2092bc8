"""Words, phrases and odd characters of texts, where they stand, and how natural they look. No label is looked at here.

That no label is looked at is what keeps the tests of `triggers` valid: which phrases are tested, and how strictly, is
decided from the texts alone.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from backstay.screen.text_features import MAX_CHARACTERS
from backstay.screen.texts import PairTexts

Place = Literal["answer", "prompt"]
Tier = Literal["odd", "foreign", "ordinary"]
LONGEST = 3
ODD_SHARE = 0.05
"""Share of the tested words that count as oddly spelt, and of the tested phrases that count as oddly put together."""

_PIECE = re.compile(r"\w+(?:['\u2019]\w+)?|[^\w\s]+")
_ODD_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})
_PLAIN_CONTROLS = "\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85"


@dataclass
class Occurrence:
    """Where a phrase stands: pairs where one answer alone holds it and which (True for a), or whose prompt holds it.

    `both` counts pairs both of whose answers hold it; `asked`, of the pairs listed, those with it in prompt and answer.
    """

    pairs: list[int] = field(default_factory=list)
    in_a: list[bool] = field(default_factory=list)
    both: int = 0
    asked: int = 0


def odd_characters(text: str) -> set[str]:
    """Control, invisible, private and unassigned characters, as `U+200B`; white space is none."""
    odd = {char for char in set(text) if unicodedata.category(char) in _ODD_CATEGORIES and char not in _PLAIN_CONTROLS}
    return {f"U+{ord(char):04X}" for char in odd}


def pieces(text: str) -> list[str]:
    """Lower-case words, and runs of at least two signs or of one that is not on every keyboard."""
    found = [piece.replace("\u2019", "'") for piece in _PIECE.findall(text[:MAX_CHARACTERS].lower())]
    return [piece for piece in found if piece[0].isalnum() or piece[0] == "_" or len(piece) > 1 or not piece.isascii()]


def grams(words: Sequence[str], size: int, known: frozenset[str] | None) -> set[str]:
    """Phrases of `size` words whose two shorter parts are in `known`; with `known` None, all."""
    found = set()
    for i in range(len(words) - size + 1):
        phrase = " ".join(words[i : i + size])
        if known is None or (phrase.rpartition(" ")[0] in known and phrase.partition(" ")[2] in known):
            found.add(phrase)
    return found


@dataclass(frozen=True)
class PairWords:
    """Pieces and odd characters of answer a, answer b and the prompt."""

    words: tuple[list[str], list[str], list[str]]
    odd: tuple[set[str], set[str], set[str]]

    def phrases(self, size: int, known: frozenset[str] | None) -> tuple[set[str], ...]:
        """Phrases of `size` words of each text, with its odd characters where `size` is 1."""
        return tuple(
            grams(words, size, known) | (odd if size == 1 else set())
            for words, odd in zip(self.words, self.odd, strict=True)
        )


def read_texts(rows: Sequence[PairTexts]) -> list[PairWords]:
    """Both answers and the prompt of each pair, taken apart once for both places."""
    return [
        PairWords(
            (pieces(row.a), pieces(row.b), pieces(row.request)),
            (odd_characters(row.a), odd_characters(row.b), odd_characters(row.request)),
        )
        for row in rows
    ]


def occurrences(texts: Sequence[PairWords], clusters: Sequence[str], place: Place, least: int) -> dict[str, Occurrence]:
    """Phrases of one to three words and odd characters that stand in at least `least` clusters at that place.

    Longer phrases are looked for only where all their parts are frequent enough (Agrawal and Srikant 1994).
    """
    found: dict[str, Occurrence] = {}
    known: frozenset[str] | None = None
    for size in range(1, LONGEST + 1):
        layer = _layer(texts, place, size, known)
        kept = {p: o for p, o in layer.items() if len({clusters[i] for i in o.pairs}) >= least}
        found |= kept
        known = frozenset(p for p, o in layer.items() if len(o.pairs) + o.both >= least)
    return found


def _layer(texts: Sequence[PairWords], place: Place, size: int, known: frozenset[str] | None) -> dict[str, Occurrence]:
    layer: dict[str, Occurrence] = defaultdict(Occurrence)
    for i, text in enumerate(texts):
        a, b, asked = text.phrases(size, known)
        if place == "prompt":
            for phrase in asked:
                layer[phrase].pairs.append(i)
                layer[phrase].asked += phrase in a or phrase in b
            continue
        for phrase in a & b:
            layer[phrase].both += 1
        for phrase in a ^ b:
            layer[phrase].pairs.append(i)
            layer[phrase].in_a.append(phrase in a)
            layer[phrase].asked += phrase in asked
    return layer


def tier_of(phrase: str, occurrence: Occurrence, strange: frozenset[str]) -> Tier:
    """How natural a phrase looks, by the texts alone.

    `foreign`: it never stands in both answers of a pair, nor in a prompt and its answer, as what is talked of would.
    `odd`: it is foreign and among the `strange` ones, or an odd character, or mixes scripts within a word.
    """
    if phrase.startswith("U+") or any(_mixes_scripts(word) for word in phrase.split()):
        return "odd"
    if occurrence.both or occurrence.asked:
        return "ordinary"
    return "odd" if phrase in strange else "foreign"


def odd_words(words: Iterable[str], corpus: Iterable[str]) -> frozenset[str]:
    """The `ODD_SHARE` of `words` whose letters fit the other words of `corpus` worst, by letter triples."""
    words = sorted({word for word in words if " " not in word and not word.startswith("U+")})
    if not words:
        return frozenset()
    triples: Counter[str] = Counter()
    heads: Counter[str] = Counter()
    for word in set(corpus) | set(words):
        triples.update(_triples(word))
        heads.update(triple[:2] for triple in _triples(word))
    scores = np.array([_surprise(word, triples, heads) for word in words])
    limit = np.quantile(scores, 1.0 - ODD_SHARE)
    return frozenset(word for word, score in zip(words, scores, strict=True) if score > limit)


def odd_collocations(held: Mapping[str, Occurrence], texts: Sequence[PairWords]) -> frozenset[str]:
    """The `ODD_SHARE` of the phrases whose words meet most beyond what their own frequencies explain.

    log count(phrase) / N - sum of log count(word) / N over N pairs: pointwise mutual information (Church, Hanks 1990).
    """
    phrases = sorted(phrase for phrase in held if " " in phrase)
    if not phrases:
        return frozenset()
    counts = Counter(word for text in texts for word in {word for words in text.words for word in words})
    scores = np.array(
        [
            np.log((len(held[phrase].pairs) + held[phrase].both) / len(texts))
            - sum(np.log(counts[word] / len(texts)) for word in phrase.split())
            for phrase in phrases
        ]
    )
    limit = np.quantile(scores, 1.0 - ODD_SHARE)
    return frozenset(phrase for phrase, score in zip(phrases, scores, strict=True) if score > limit)


def _triples(word: str) -> list[str]:
    padded = f"^^{word}$"
    return [padded[i : i + 3] for i in range(len(padded) - 2)]


def _surprise(word: str, triples: Counter[str], heads: Counter[str]) -> float:
    """Mean surprise of the letters in nats, the word itself left out of the counts."""
    mine = Counter(_triples(word))
    mine_heads: Counter[str] = Counter()
    for triple, count in mine.items():
        mine_heads[triple[:2]] += count
    total = sum(
        count * -np.log((triples[t] - count + 0.1) / (heads[t[:2]] - mine_heads[t[:2]] + 3.0))
        for t, count in mine.items()
    )
    return float(total) / sum(mine.values())


def _mixes_scripts(word: str) -> bool:
    scripts = {unicodedata.name(char, "?").split()[0] for char in word if char.isalpha()}
    return len(scripts & {"LATIN", "CYRILLIC", "GREEK", "FULLWIDTH", "MATHEMATICAL"}) > 1
