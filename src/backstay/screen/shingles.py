"""Words and word triples of texts: exactly, as sets, and as hashes of many texts at once."""

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHINGLE = 3
MAX_WORDS = 1_000_000
"""Words whose hashes are remembered; a corpus with more of them is hashed anew, so that memory stays bounded."""

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]
Shingles = frozenset[tuple[str, ...]]

_WORD = re.compile(r"\w+")
_ODD = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)
_NO_WORD = np.uint64(0xD1B54A32D192ED03)


class ShingleRows(NamedTuple):
    """Hashes (S) of the shingles of T texts one after the other; text t has those from start[t] to start[t + 1]."""

    values: Hashes
    start: Places


def words(text: str) -> list[str]:
    """Lower-case words of any script; of a text without words, its characters."""
    return _WORD.findall(text.lower()) or list(text.strip())


def shingles(text: str) -> Shingles:
    """The word triples of a text; a shorter text is one shingle, an empty one none."""
    tokens = words(text)
    if len(tokens) < SHINGLE:
        return frozenset((tuple(tokens),) if tokens else ())
    return frozenset(zip(tokens, tokens[1:], tokens[2:], strict=False))


def jaccard(first: Shingles, second: Shingles) -> float:
    """Size of the intersection over the size of the union; 1 for two empty sets."""
    shared = len(first & second)
    union = len(first) + len(second) - shared
    return shared / union if union else 1.0


class WordHashes(dict[str, int]):
    """64-bit hashes of words, computed when first asked for."""

    def __missing__(self, word: str) -> int:
        """Hash a word that was not asked for yet."""
        if len(self) >= MAX_WORDS:
            self.clear()
        value = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        self[word] = value
        return value


def shingle_rows(texts: Sequence[Sequence[str]], hashes: WordHashes) -> ShingleRows:
    """Hashes of the shingles of texts given as words, with repetitions: as many a text as `shingles` sees triples."""
    length = np.fromiter((len(text) for text in texts), dtype=np.int64, count=len(texts))
    padded = np.where(length > 0, np.maximum(length, SHINGLE), 0)
    begin = np.cumsum(padded) - padded
    word = np.full(int(padded.sum()) + SHINGLE - 1, _NO_WORD, dtype=np.uint64)
    place = np.arange(int(length.sum())) + np.repeat(begin - (np.cumsum(length) - length), length)
    word[place] = np.fromiter(_each(texts, hashes), dtype=np.uint64, count=place.size)
    mixed = _mix(_mix(_mix(word[:-2]) + word[1:-1]) + word[2:])
    count = np.maximum(padded - SHINGLE + 1, 0)
    start = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    inside = np.arange(int(start[-1])) + np.repeat(begin - start[:-1], count)
    return ShingleRows(mixed[inside], start)


def _each(texts: Iterable[Sequence[str]], hashes: WordHashes) -> Iterable[int]:
    for text in texts:
        yield from map(hashes.__getitem__, text)


def _mix(value: Hashes) -> Hashes:
    """A bijection of 64 bits that spreads every bit; multiplications wrap."""
    spread: Hashes = (value ^ (value >> _SHIFT)) * _ODD
    return spread ^ (spread >> _SHIFT)
