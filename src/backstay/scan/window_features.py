"""Hashed features of a text at every place, so that the score of any stretch of it is a difference of running sums.

Words, two neighbours, words two apart, the first words of sentences, and character 3-5-grams are hashed into 2^bits
buckets each. All hashes are polynomial over the characters modulo 2^64 and so the same on every machine. The cost is
linear in the text, however many stretches are scored.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

BLOCKS = ("word", "start", "char")
MAX_CHARACTERS = 16_000
"""Characters of one piece; a longer text is read in pieces."""

OVERLAP = 1_000
"""Characters that two pieces share."""

SEGMENT_WORDS = 40
"""Words after which a sentence is cut where it has no end."""

LEAST_CODED = 16
"""Characters from which on a word with a digit in it is not read: what it encodes is read on its own."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_SALTS = dict(
    zip(
        ("word", "pair", "skip", "start", "start_pair", "start_triple", "start_end", "char3", "char4", "char5"),
        (np.uint64(0x165667B19E3779F9 * (2 * i + 3) % (1 << 64)) for i in range(10)),
        strict=True,
    )
)
_ENDS = frozenset(".!?:;\u3002\uff01\uff1f\u061f\u0964")
_CUTS = frozenset("\n\r|\u2022\u3002\uff01\uff1f")

Hashes = NDArray[np.uint64]
Buckets = NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """Tokens of a text and the buckets of its features.

    `starts` and `ends` are the character places of the words, `segment` the number of the sentence that each word is
    in. `words` has one line a kind of word feature and one column a word, `firsts` one column a sentence, `chars` one
    column a character that is part of a word or follows one; `char_starts` and `char_ends` are the words' places there.
    """

    starts: Buckets
    ends: Buckets
    char_starts: Buckets
    char_ends: Buckets
    segment: Buckets
    words: Buckets
    firsts: Buckets
    chars: Buckets

    @property
    def segments(self) -> int:
        """Number of sentences."""
        return int(self.firsts.shape[1])


@cache
def _classes() -> NDArray[np.uint8]:
    """Of each ASCII code: 0 space or sign, 1 letter or digit, 2 an end of a sentence, 3 a cut."""
    table = np.zeros(128, np.uint8)
    for code in range(128):
        char = chr(code)
        table[code] = 1 if char.isalnum() else 3 if char in _CUTS else 2 if char in _ENDS else 0
    table[ord("'")] = 1
    return table


@cache
def _powers(length: int) -> tuple[Hashes, Hashes]:
    up = np.full(length + 1, _MULTIPLIER, np.uint64)
    down = np.full(length + 1, _INVERSE, np.uint64)
    up[0] = down[0] = 1
    return np.cumprod(up), np.cumprod(down)


@cache
def _lowered() -> NDArray[np.uint32]:
    """ASCII letters in lower case, and every digit as 0."""
    table = np.arange(128, dtype=np.uint32)
    table[ord("A") : ord("Z") + 1] += 32
    table[ord("0") : ord("9") + 1] = ord("0")
    return table


def _codes(text: str) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Lower-case codes and classes; a sign that is no letter outside of ASCII stays a sign."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)
    low = codes < 128
    small = np.where(low, codes, 0)
    kinds = np.where(low, _classes()[small], np.uint8(1))
    if not low.all():
        lowered = text.lower()
        if len(lowered) == len(text):
            codes = np.frombuffer(lowered.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)
        wide = np.flatnonzero(~low)
        chars, inverse = np.unique(codes[wide], return_inverse=True)
        kinds[wide] = np.array([_wide_class(chr(code)) for code in chars], np.uint8)[inverse]
    return np.where(low, _lowered()[small], codes), kinds


def _wide_class(char: str) -> int:
    if char in _CUTS:
        return 3
    return 1 if char.isalnum() else 2 if char in _ENDS else 0


def _bucket(hashes: Hashes, bits: int) -> Buckets:
    mixed = (hashes ^ (hashes >> np.uint64(31))) * _MULTIPLIER
    return (mixed >> np.uint64(64 - bits)).astype(np.int64)


def _salted(hashes: Hashes, salt: str) -> Hashes:
    return (hashes + _SALTS[salt]) * _MULTIPLIER


def read_piece(text: str, bits: int) -> Piece:
    """The features of a text of at most MAX_CHARACTERS characters; what is longer is not read."""
    text = text[:MAX_CHARACTERS]
    codes, kinds = _codes(text)
    starts, ends = _word_places(kinds == 1)
    coded = _coded(codes, starts, ends)
    inside = np.zeros(len(codes), bool)
    starts, ends = starts[~coded], ends[~coded]
    inside[_between(starts, ends)] = True
    words = _word_hashes(codes, starts, ends)
    segment = _segments(kinds, starts, ends)
    kept = inside | np.append(False, inside[:-1])
    place = np.concatenate([[0], np.cumsum(kept)])
    return Piece(
        starts,
        ends,
        place[starts],
        place[ends],
        segment,
        _word_buckets(words, bits),
        _first_buckets(words, segment, _closing(codes, kinds, ends), bits),
        _char_buckets(np.where(inside, codes, np.uint32(32))[kept], bits),
    )


def _word_places(inside: NDArray[np.bool_]) -> tuple[Buckets, Buckets]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    return edges[::2], edges[1::2]


def _coded(codes: NDArray[np.uint32], starts: Buckets, ends: Buckets) -> NDArray[np.bool_]:
    """Which words are keys, digests or encoded data and say nothing as they stand: long ones with a digit."""
    digits = np.concatenate([[0], np.cumsum(codes == ord("0"))])
    return (ends - starts >= LEAST_CODED) & (digits[ends] > digits[starts])


def _between(starts: Buckets, ends: Buckets) -> Buckets:
    """All places from each start to its end."""
    lengths = ends - starts
    return np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())


def _word_hashes(codes: NDArray[np.uint32], starts: Buckets, ends: Buckets) -> Hashes:
    up, down = _powers(MAX_CHARACTERS)
    sums = np.concatenate(
        [np.zeros(1, np.uint64), np.cumsum((codes.astype(np.uint64) + np.uint64(7)) * up[: len(codes)])]
    )
    found: Hashes = (sums[ends] - sums[starts]) * down[starts]
    return found


def _segments(kinds: NDArray[np.uint8], starts: Buckets, ends: Buckets) -> Buckets:
    """A sentence ends at a cut, at an end that a space or nothing follows, and after SEGMENT_WORDS words."""
    if not len(starts):
        return np.zeros(0, np.int64)
    closes = kinds >= 2
    closes &= (kinds == 3) | np.append(kinds[1:] != 1, True)
    seen = np.concatenate([[0], np.cumsum(closes)])
    fresh = np.concatenate([[True], seen[starts[1:]] > seen[ends[:-1]]])
    first = np.flatnonzero(fresh)
    within = np.arange(len(starts)) - np.repeat(first, np.diff(np.append(first, len(starts))))
    return np.cumsum(fresh | (within % SEGMENT_WORDS == 0)) - 1


def _word_buckets(words: Hashes, bits: int) -> Buckets:
    one = np.concatenate([words, np.zeros(2, np.uint64)])
    n = len(words)
    pair, skip = words * _MULTIPLIER + one[1 : n + 1], words * _MULTIPLIER + one[2 : n + 2]
    return np.stack([_bucket(_salted(h, s), bits) for h, s in ((words, "word"), (pair, "pair"), (skip, "skip"))])


def _closing(codes: NDArray[np.uint32], kinds: NDArray[np.uint8], ends: Buckets) -> Hashes:
    """The sign right after each word where it is an end or a cut, else 0."""
    after = np.minimum(ends, len(codes) - 1)
    return np.where((ends < len(codes)) & (kinds[after] >= 2), codes[after], np.uint32(0)).astype(np.uint64)


def _first_buckets(words: Hashes, segment: Buckets, closing: Hashes, bits: int) -> Buckets:
    """The first word of each sentence, its first two, its first three, and the first with the sign at its end."""
    count = int(segment[-1]) + 1 if len(segment) else 0
    first = np.searchsorted(segment, np.arange(count))
    ends = np.append(first[1:], len(words))
    padded = np.append(words, np.zeros(3, np.uint64))
    one = padded[first] if count else np.zeros(0, np.uint64)
    two = one * _MULTIPLIER + np.where(first + 1 < ends, padded[first + 1], np.uint64(0))
    three = two * _MULTIPLIER + np.where(first + 2 < ends, padded[first + 2], np.uint64(0))
    last = closing[ends - 1] if count else np.zeros(0, np.uint64)
    parts = ((one, "start"), (two, "start_pair"), (three, "start_triple"), (one * _MULTIPLIER + last, "start_end"))
    return np.stack([_bucket(_salted(h, s), bits) for h, s in parts])


def _char_buckets(codes: NDArray[np.uint32], bits: int) -> Buckets:
    """3-5-grams that begin at each character; whatever stands between two words is one space."""
    plain = codes.astype(np.uint64)
    padded = np.concatenate([plain, np.full(5, 32, np.uint64)])
    n, grams, found = len(plain), plain, []
    for length in range(2, 6):
        grams = grams * _MULTIPLIER + padded[length - 1 : length - 1 + n]
        if length > 2:
            found.append(_bucket(_salted(grams, f"char{length}"), bits))
    return np.stack(found)
