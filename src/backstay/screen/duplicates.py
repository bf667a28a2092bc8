"""Pairs that repeat another pair, and pairs whose two answers are the same.

Candidates come from MinHash signatures (Broder 1997) in bands; every candidate is then verified with the exact
Jaccard similarity of its word 3-shingles, so that the hashing can miss a duplicate but never invent one.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from backstay.records import Finding
from backstay.screen.texts import PairTexts

SCANNER = "duplicates"
SHINGLE = 3
BANDS, ROWS = 20, 4
MAX_BUCKET = 200
"""Members of one bucket that are compared with each other; in a larger one each is compared with the first so many."""

Shingles = frozenset[int]

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Lower-case words of any script; of a text without words, its characters."""
    return _WORD.findall(text.lower()) or list(text.strip())


def shingles(text: str) -> Shingles:
    """64-bit hashes of the word triples of a text; a shorter text is one shingle, an empty one none."""
    tokens = words(text)
    if not tokens:
        return frozenset()
    triples = [tokens[i : i + SHINGLE] for i in range(max(1, len(tokens) - SHINGLE + 1))]
    return frozenset(_hash(" ".join(triple)) for triple in triples)


def jaccard(first: Shingles, second: Shingles) -> float:
    """Size of the intersection over the size of the union; 1 for two empty sets."""
    union = len(first | second)
    return len(first & second) / union if union else 1.0


def minhash(sets: Sequence[Shingles], *, seed: int = 0) -> NDArray[np.uint64]:
    """Signatures (P, 80): the least of each set under 80 hash functions; empty sets give the largest value."""
    rng = np.random.default_rng(seed)
    multiply = rng.integers(1, 2**63, BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    add = rng.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64)
    signatures = np.full((len(sets), BANDS * ROWS), np.iinfo(np.uint64).max, dtype=np.uint64)
    for row, members in enumerate(sets):
        if members:
            values = np.fromiter(members, dtype=np.uint64, count=len(members))
            mixed = values[:, None] * multiply + add
            signatures[row] = (mixed ^ (mixed >> np.uint64(31))).min(axis=0)
    return signatures


def candidate_pairs(signatures: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Index pairs (earlier, later) that share all rows of at least one band, each once."""
    seen: set[tuple[int, int]] = set()
    for band in range(BANDS):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for row, part in enumerate(signatures[:, band * ROWS : (band + 1) * ROWS]):
            bucket = buckets[part.tobytes()]
            for earlier in bucket[:MAX_BUCKET]:
                if (earlier, row) not in seen:
                    seen.add((earlier, row))
                    yield earlier, row
            bucket.append(row)


def duplicate_pairs(rows: Sequence[PairTexts], threshold: float) -> dict[str, Finding]:
    """Findings by pair id for every pair that repeats a better one of the same dimension.

    Two pairs are compared in both the prompt and the two answers, whichever way round these stand. The pair with more
    weight is kept, at equal weight the one with the smaller id. `exact_duplicate` has equal words, `near_duplicate` a
    similarity of at least `threshold`, `contradicts_duplicate` prefers the other answer than the pair it repeats.
    """
    order = sorted(rows, key=lambda row: (-row.pair.weight, row.pair.id))
    answers = [shingles(row.a) | shingles(row.b) for row in order]
    requests = [shingles(row.request) for row in order]
    found: dict[str, Finding] = {}
    for kept, later in sorted(candidate_pairs(minhash(answers)), key=lambda pair: (pair[1], pair[0])):
        first, second = order[kept], order[later]
        if first.pair.id in found or second.pair.id in found or first.pair.dimension != second.pair.dimension:
            continue
        similarity = min(jaccard(answers[kept], answers[later]), jaccard(requests[kept], requests[later]))
        if similarity >= threshold and _same_answers(first, second, threshold):
            found[second.pair.id] = _duplicate(first, second, similarity)
    return found


def identical_answers(row: PairTexts, threshold: float) -> tuple[Finding, ...]:
    """A finding when both answers are the same: `identical_responses` in every word, or `near_identical_responses`."""
    if words(row.a) == words(row.b):
        return (Finding(scanner=SCANNER, kind="identical_responses", severity="medium", evidence="same words"),)
    similarity = jaccard(shingles(row.a), shingles(row.b))
    if similarity < threshold:
        return ()
    evidence = f"Jaccard {similarity:.2f}"
    return (Finding(scanner=SCANNER, kind="near_identical_responses", severity="low", evidence=evidence),)


def _same_answers(first: PairTexts, second: PairTexts, threshold: float) -> bool:
    return any(_matched(first, second, swapped) >= threshold for swapped in (False, True))


def _matched(first: PairTexts, second: PairTexts, swapped: bool) -> float:
    a, b = (second.b, second.a) if swapped else (second.a, second.b)
    return min(jaccard(shingles(first.a), shingles(a)), jaccard(shingles(first.b), shingles(b)))


def _duplicate(kept: PairTexts, row: PairTexts, similarity: float) -> Finding:
    swapped = _matched(kept, row, swapped=True) > _matched(kept, row, swapped=False)
    p_a = 1.0 - row.pair.p_a if swapped else row.pair.p_a
    if (p_a - 0.5) * (kept.pair.p_a - 0.5) < 0.0:
        kind, severity = "contradicts_duplicate", "medium"
    else:
        kind, severity = ("exact_duplicate" if similarity == 1.0 else "near_duplicate"), "low"
    return Finding.model_validate(
        {
            "scanner": SCANNER,
            "kind": kind,
            "severity": severity,
            "evidence": f"repeats {kept.pair.id}: Jaccard {similarity:.2f}",
        }
    )


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
