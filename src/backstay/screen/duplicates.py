"""Pairs that repeat another pair, and pairs whose two answers are the same.

Pairs of equal words are grouped by a digest of their words. Of the others, candidates come from MinHash bands, and
every candidate is verified with the exact Jaccard similarity of its word 3-shingles: the hashing can miss a duplicate
but never invent one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from backstay.records import Finding
from backstay.screen.near_pairs import SIGNATURE, Candidates, band_keys, candidates, rows_per_band
from backstay.screen.shingles import Hashes, Places, Shingles, WordHashes, jaccard, shingle_rows, shingles, words
from backstay.screen.texts import PairTexts

SCANNER = "duplicates"
CHUNK_ROWS, CHUNK_SIGNS = 4096, 2_000_000
"""Pairs, and signs of text, that are hashed at once."""

KEPT_SIGNS = 4_000_000
"""Signs of text whose shingles are kept for the next comparison."""


@dataclass(frozen=True)
class Duplicates:
    """Findings by pair id; how many pairs of pairs were `compared`; and how many that share a band were `left_out`."""

    findings: dict[str, Finding]
    compared: int
    left_out: int


def duplicate_pairs(rows: Sequence[PairTexts], threshold: float) -> dict[str, Finding]:
    """The findings of `find_duplicates`."""
    return find_duplicates(rows, threshold).findings


def find_duplicates(rows: Sequence[PairTexts], threshold: float) -> Duplicates:
    """Findings by pair id for every pair that repeats a better one of the same dimension.

    Two pairs are compared in both the prompt and the two answers, whichever way round these stand. The pair with more
    weight is kept, at equal weight the one with the smaller id. `exact_duplicate` has equal words, `near_duplicate` a
    similarity of at least `threshold`, `contradicts_duplicate` prefers the other answer than the pair it repeats.
    """
    order = sorted(rows, key=lambda row: (-row.pair.weight, row.pair.id))
    leader, keys = _hashed(order, rows_per_band(threshold))
    alone = np.flatnonzero(leader == np.arange(len(order)))
    near = candidates(keys[:, alone])
    sets = _SetsOf(order)
    repeats, compared = _verified(sets, alone, near, threshold)
    found: dict[str, Finding] = {}
    for later, first in enumerate(leader.tolist()):
        kept, similarity = repeats.get(first, (first, 1.0))
        if kept != later:
            found[order[later].pair.id] = _duplicate(sets, kept, later, similarity)
    return Duplicates(found, compared, near.left_out)


def identical_answers(row: PairTexts, threshold: float) -> tuple[Finding, ...]:
    """A finding when both answers are the same: `identical_responses` in every word, or `near_identical_responses`."""
    if words(row.a) == words(row.b):
        return (Finding(scanner=SCANNER, kind="identical_responses", severity="medium", evidence="same words"),)
    similarity = jaccard(shingles(row.a), shingles(row.b))
    if similarity < threshold:
        return ()
    evidence = f"Jaccard {similarity:.2f}"
    return (Finding(scanner=SCANNER, kind="near_identical_responses", severity="low", evidence=evidence),)


def _hashed(order: Sequence[PairTexts], rows: int) -> tuple[Places, Hashes]:
    """The first pair (P) of equal words in all texts, itself where there is none before, and its band keys."""
    hashes = WordHashes()
    keys = np.zeros((SIGNATURE // rows, len(order)), dtype=np.uint64)
    digests = np.zeros(len(order), dtype="S16")
    for begin, end in _chunks(order):
        chunk = order[begin:end]
        requests = [words(row.request) for row in chunk]
        answers = [(words(row.a), words(row.b)) for row in chunk]
        dimensions = [row.pair.dimension for row in chunk]
        digests[begin:end] = [_digest(*given) for given in zip(dimensions, requests, answers, strict=True)]
        texts = shingle_rows([text for pair in answers for text in pair], hashes)
        both = texts._replace(start=texts.start[::2])
        salt = np.array([hashes[name] for name in dimensions], dtype=np.uint64)
        keys[:, begin:end] = band_keys(both, shingle_rows(requests, hashes), rows) ^ salt
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    return first[group].astype(np.int64), keys


def _chunks(order: Sequence[PairTexts]) -> Iterator[tuple[int, int]]:
    """Ranges of rows that are hashed together: few rows, or few signs."""
    begin, signs = 0, 0
    for place, row in enumerate(order):
        size = _signs(row)
        if place - begin >= CHUNK_ROWS or (signs and signs + size > CHUNK_SIGNS):
            yield begin, place
            begin, signs = place, 0
        signs += size
    if begin < len(order):
        yield begin, len(order)


def _digest(dimension: str, request: Sequence[str], answers: tuple[Sequence[str], Sequence[str]]) -> bytes:
    """16 bytes that stand for the words of a pair, whichever way round its answers stand."""
    texts = ["\0".join(request), *sorted("\0".join(answer) for answer in answers)]
    told = "".join(f"{len(text)}:{text}" for text in (dimension, *texts))
    return blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class _Sets(NamedTuple):
    """Shingles of a pair: of both answers, of each, and of the request."""

    both: Shingles
    a: Shingles
    b: Shingles
    request: Shingles


class _SetsOf:
    """Looks shingles up by row, and keeps those of the last few."""

    def __init__(self, order: Sequence[PairTexts]) -> None:
        self.order = order
        self._kept: dict[int, _Sets] = {}
        self._signs = 0

    def __getitem__(self, place: int) -> _Sets:
        found = self._kept.pop(place, None)
        if found is None:
            row = self.order[place]
            a, b = shingles(row.a), shingles(row.b)
            found = _Sets(a | b, a, b, shingles(row.request))
            self._signs += _signs(row)
        self._kept[place] = found
        while self._signs > KEPT_SIGNS and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._signs -= _signs(self.order[oldest])
        return found


def _signs(row: PairTexts) -> int:
    return len(row.a) + len(row.b) + sum(len(message.content) for message in row.prompt.messages)


def _verified(
    sets: _SetsOf, alone: Places, near: Candidates, threshold: float
) -> tuple[dict[int, tuple[int, float]], int]:
    """By row, the first row that it repeats and their similarity, and how many were compared.

    A row that repeats another is not itself repeated.
    """
    repeats: dict[int, tuple[int, float]] = {}
    compared = 0
    for begin in range(0, near.earlier.size, CHUNK_ROWS):
        part = slice(begin, begin + CHUNK_ROWS)
        for kept, later in zip(alone[near.earlier[part]].tolist(), alone[near.later[part]].tolist(), strict=True):
            if kept in repeats or later in repeats or not _same_dimension(sets.order[kept], sets.order[later]):
                continue
            compared += 1
            similarity = _similarity(sets[kept], sets[later], threshold)
            if similarity is not None:
                repeats[later] = kept, similarity
    return repeats, compared


def _same_dimension(first: PairTexts, second: PairTexts) -> bool:
    return first.pair.dimension == second.pair.dimension


def _similarity(first: _Sets, second: _Sets, threshold: float) -> float | None:
    """Similarity of two pairs in request and answers; None where they differ in one of their texts."""
    similarity = jaccard(first.request, second.request)
    if similarity >= threshold:
        similarity = min(similarity, jaccard(first.both, second.both))
    if similarity < threshold or max(_matched(first, second, swapped) for swapped in (False, True)) < threshold:
        return None
    return similarity


def _matched(first: _Sets, second: _Sets, swapped: bool) -> float:
    a, b = (second.b, second.a) if swapped else (second.a, second.b)
    return min(jaccard(first.a, a), jaccard(first.b, b))


def _duplicate(sets: _SetsOf, kept: int, later: int, similarity: float) -> Finding:
    first, second = sets[kept], sets[later]
    better, row = sets.order[kept].pair, sets.order[later].pair
    swapped = _matched(first, second, swapped=True) > _matched(first, second, swapped=False)
    p_a = 1.0 - row.p_a if swapped else row.p_a
    if (p_a - 0.5) * (better.p_a - 0.5) < 0.0:
        kind, severity = "contradicts_duplicate", "medium"
    else:
        kind, severity = ("exact_duplicate" if similarity == 1.0 else "near_duplicate"), "low"
    return Finding.model_validate(
        {
            "scanner": SCANNER,
            "kind": kind,
            "severity": severity,
            "evidence": f"repeats {better.id}: Jaccard {similarity:.2f}",
        }
    )
