"""Rows that may be alike: MinHash signatures (Broder 1997) in bands, and the pairs that share a band.

The request joins every band with one row, so that common answers to different requests share no bucket. Memory and
time are linear in the rows, whatever the texts: buckets are sorted, not hashed into dictionaries, and where they are
so large that comparing all their members would take too long, fewer are compared and the rest is counted.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backstay.screen.shingles import Hashes, Places, ShingleRows

SIGNATURE = 80
"""Hash functions of the answers' signature, split into bands."""

LOOSE = 0.8
"""Similarity below which bands are of two rows instead of four, so that less similar pairs share one, too."""

MAX_BUCKET = 200
"""Members of one bucket that each is compared with at most, the first ones."""

PER_BAND, COMPARED = 2, 8
"""Pairs of rows taken of one band, and of all, per row; beside them `SPARE` in any case."""

SPARE = 50_000
EMPTY = np.iinfo(np.uint64).max


class Candidates(NamedTuple):
    """Pairs of rows (C), `earlier` < `later`, by later and then earlier.

    `left_out` counts those not taken though they share a band, once for each band where a bucket was too large.
    """

    earlier: Places
    later: Places
    left_out: int


def minhash(rows: ShingleRows, count: int = SIGNATURE, *, seed: int = 0) -> Hashes:
    """Signatures (count, T): the least of each text under `count` hash functions; of empty texts the largest value."""
    rng = np.random.default_rng(seed)
    multiply = rng.integers(1, 2**63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    add = rng.integers(0, 2**63, count, dtype=np.uint64)
    signature = np.full((count, rows.start.size - 1), EMPTY, dtype=np.uint64)
    filled = np.diff(rows.start) > 0
    if filled.any():
        for k in range(count):
            mixed = rows.values * multiply[k]
            mixed += add[k]
            mixed ^= mixed >> np.uint64(31)
            signature[k, filled] = np.minimum.reduceat(mixed, rows.start[:-1][filled])
    return signature


def rows_per_band(threshold: float) -> int:
    """How many rows make a band, so that pairs as similar as `threshold` share one: at 0.5 with a chance of .995."""
    return 4 if threshold >= LOOSE else 2


def band_keys(answers: ShingleRows, requests: ShingleRows, rows: int = 4) -> Hashes:
    """One key (bands, T) for each band: of `rows` rows of the answers' signature and one of the request's."""
    signature = minhash(answers).reshape(SIGNATURE // rows, rows, -1)
    keys = minhash(requests, SIGNATURE // rows, seed=1)
    for row in range(rows):
        keys = (keys ^ (keys >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9) + signature[:, row]
    return keys


def candidates(keys: Hashes) -> Candidates:
    """Every pair of rows that share the key of at least one band, each once."""
    size = keys.shape[1]
    found, left_out = [], 0
    for band in keys:
        pairs, missed = _of_band(band, PER_BAND * size + SPARE)
        found.append(pairs)
        left_out += missed
    packed, shared = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *found]), return_counts=True)
    later, earlier = np.divmod(packed, max(size, 1))
    if packed.size > COMPARED * size + SPARE:
        kept = _few_each(later, shared)
        left_out += packed.size - int(kept.sum())
        later, earlier = later[kept], earlier[kept]
    return Candidates(earlier, later, left_out)


def _of_band(key: Hashes, limit: int) -> tuple[Places, int]:
    """Pairs of one band as later * T + earlier, about `limit` at most, and how many more there are."""
    order = np.argsort(key, kind="stable")
    begins = np.append(True, key[order[1:]] != key[order[:-1]])[: key.size]
    first = np.flatnonzero(begins)[np.cumsum(begins) - 1] if key.size else np.zeros(0, dtype=np.int64)
    place = np.arange(key.size) - first
    # Members with at least k others before them: what one more comparison of each costs.
    cost = np.cumsum(np.cumsum(np.bincount(np.minimum(place, MAX_BUCKET), minlength=MAX_BUCKET + 1)[::-1])[::-1][1:])
    depth = max(1, int(np.searchsorted(cost, limit, side="right")))
    taken = []
    for k in range(depth):
        member = np.flatnonzero(place > k)
        if not member.size:
            break
        taken.append(order[member] * key.size + order[first[member] + k])
    pairs = np.concatenate([np.zeros(0, dtype=np.int64), *taken])
    return pairs, int(place.sum()) - pairs.size


def _few_each(later: Places, shared: Places) -> NDArray[np.bool_]:
    """Of the pairs of each later row, sorted, the first ones and those that share most bands, `COMPARED` at most.

    The first are the best of a cluster, which the others repeat; the most alike find a partner among strangers.
    """
    first = np.searchsorted(later, later)
    order = np.lexsort((-shared, later))
    rank = np.empty(later.size, dtype=np.int64)
    rank[order] = np.arange(later.size) - first[order]
    kept: NDArray[np.bool_] = np.minimum(np.arange(later.size) - first, rank) < COMPARED // 2
    return kept
