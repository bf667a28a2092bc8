from itertools import combinations

import numpy as np
import pytest

from backstay.screen import near_pairs
from backstay.screen.near_pairs import SIGNATURE, Candidates, band_keys, candidates, minhash, rows_per_band
from backstay.screen.shingles import ShingleRows

BANDS = SIGNATURE // rows_per_band(0.9)


def rows_of(sets: list[list[int]]) -> ShingleRows:
    start = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    return ShingleRows(np.array([x for members in sets for x in members], dtype=np.uint64), start)


def pairs_of(found: Candidates) -> list[tuple[int, int]]:
    return list(zip(found.earlier.tolist(), found.later.tolist(), strict=True))


def test_minhash_estimates_jaccard() -> None:
    numbers = [int(x) for x in np.random.default_rng(0).integers(0, 2**63, 600)]
    signatures = minhash(rows_of([numbers[:400], [], numbers[100:500]]))
    assert np.mean(signatures[:, 0] == signatures[:, 2]) == pytest.approx(300 / 500, abs=0.15)
    assert np.all(signatures[:, 1] == np.iinfo(np.uint64).max)


def test_repetitions_and_order_do_not_change_a_signature() -> None:
    signatures = minhash(rows_of([[5, 6, 7], [7, 5, 5, 6]]))
    assert np.array_equal(signatures[:, 0], signatures[:, 1])


def test_every_true_neighbour_is_a_candidate() -> None:
    rng = np.random.default_rng(1)
    sets = []
    for _ in range(60):
        base = [int(x) for x in rng.integers(0, 2**63, 100)]
        sets += [base, base[:97]]
    requests = rows_of([[k // 2] for k in range(120)])
    found = pairs_of(candidates(band_keys(rows_of(sets), requests)))
    assert {(2 * i, 2 * i + 1) for i in range(60)} == set(found)
    other = rows_of([[k] for k in range(120)])
    assert pairs_of(candidates(band_keys(rows_of(sets), other))) == []


def test_candidates_are_all_pairs_that_share_a_key_once_and_in_order() -> None:
    keys = np.random.default_rng(2).integers(0, 40, (BANDS, 50)).astype(np.uint64)
    wanted = [(i, j) for i, j in combinations(range(50), 2) if np.any(keys[:, i] == keys[:, j])]
    found = candidates(keys)
    assert pairs_of(found) == sorted(wanted, key=lambda pair: (pair[1], pair[0]))
    assert found.left_out == 0


def test_a_giant_bucket_stays_bounded_and_says_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_pairs, "SPARE", 0)
    found = candidates(np.zeros((BANDS, 1000), dtype=np.uint64))
    first, second = np.ones(999, dtype=np.int64), np.ones(998, dtype=np.int64)
    assert found.earlier.size == first.sum() + second.sum() == 1997
    assert set(found.earlier.tolist()) == {0, 1}
    assert found.left_out == BANDS * (1000 * 999 // 2 - 1997)


def test_of_too_many_candidates_the_first_and_the_most_alike_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = np.arange(BANDS * 40, dtype=np.uint64).reshape(BANDS, 40)
    keys[0] = 0
    keys[:3, 20] = keys[:3, 30]
    monkeypatch.setattr(near_pairs, "PER_BAND", 100)
    monkeypatch.setattr(near_pairs, "SPARE", 0)
    monkeypatch.setattr(near_pairs, "COMPARED", 2)
    found = candidates(keys)
    assert set(pairs_of(found)) == {(0, later) for later in range(1, 40)} | {(20, 30)}
    assert found.left_out == 40 * 39 // 2 - 40


def test_nothing_has_no_candidates() -> None:
    assert pairs_of(candidates(np.zeros((BANDS, 0), dtype=np.uint64))) == []
