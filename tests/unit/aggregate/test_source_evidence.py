from itertools import combinations

import numpy as np
import pytest

from backstay.aggregate.same_source import SameSource, Shared, nothing_shared, shared_values, starts_of
from backstay.aggregate.source_evidence import DRAWS, bloc_evidence, coincidences, copy_groups, random_sets, unexplained
from backstay.aggregate.votes import Ints


def texts(seed: int, *, raters: int, each: int, kinds: int) -> tuple[Ints, Ints]:
    """Rationales of raters who draw from one stock of `kinds` texts."""
    rng = np.random.default_rng(seed)
    return np.repeat(np.arange(raters), each), rng.integers(1, kinds + 1, raters * each)


def source_of(rater: Ints, mark: Ints, raters: int) -> SameSource:
    judged = np.bincount(rater, minlength=raters)
    return SameSource(judged, judged, {"rationale": shared_values(rater, mark)})


def test_coincidences_by_brute_force() -> None:
    rater, mark = texts(0, raters=10, each=6, kinds=20)
    members = np.array([1, 4, 5, 8])
    expected = sum(
        len(set(mark[rater == u].tolist()) & set(mark[rater == v].tolist())) for u, v in combinations(members, 2)
    )
    assert coincidences(shared_values(rater, mark), members, 10) == expected > 0


def test_random_sets_judge_as_much_as_the_members() -> None:
    judged = np.random.default_rng(0).permutation(np.arange(100))
    members = np.flatnonzero(judged >= 90)
    for drawn in random_sets(judged, members, 0):
        assert np.unique(drawn).size == members.size
        assert judged[drawn].min() >= 80


def test_p_values_are_uniform_where_members_are_like_others() -> None:
    p = []
    for seed in range(200):
        source = source_of(*texts(seed, raters=60, each=10, kinds=300), 60)
        members = np.random.default_rng(seed).choice(60, 12, replace=False)
        (test,) = bloc_evidence(source, members, seed)
        assert test.shared == coincidences(source.signals["rationale"], members, 60)
        p.append(test.p_value)
    assert np.mean(np.array(p) <= 0.05) <= 0.08
    assert np.quantile(p, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.12)


def test_members_who_copy_stand_out_after_holm() -> None:
    rater, mark = texts(1, raters=60, each=10, kinds=1000)
    mark = np.where(rater < 8, mark % 5 + 1, mark)
    source = source_of(rater, mark, 60)
    everyone = Shared(np.arange(60), np.zeros(60, dtype=np.int64), np.ones(60, dtype=np.int64))
    source = SameSource(source.judged, source.reasoned, source.signals | {"client": everyone})
    by_name = {test.signal: test for test in bloc_evidence(source, np.arange(8), 0)}
    least = 1 / (1 + DRAWS)
    assert by_name["rationale"].p_value == pytest.approx(least)
    assert by_name["rationale"].p_corrected == pytest.approx(2 * least)
    assert by_name["client"].p_value == 1.0
    assert by_name["client"].shared == by_name["client"].expected == 28
    assert bloc_evidence(nothing_shared(60), np.arange(8), 0) == ()
    assert bloc_evidence(source, np.arange(1), 0) == ()


def test_copiers_are_grouped_unless_a_bloc_explains_them() -> None:
    rater, mark = np.repeat(np.arange(40), 10), np.arange(1, 401)
    mark = np.where(rater < 5, mark % 10 + 1000, mark)
    source = source_of(rater, mark, 40)
    (group,) = copy_groups(source)
    assert group.raters.tolist() == [0, 1, 2, 3, 4]
    assert (group.texts, group.copies) == (10, 10 * 10)
    assert group.false_alarms <= 0.01
    assert unexplained((group,), np.arange(3)) == ()
    assert unexplained((group,), np.arange(4, 12)) == (group,)
    assert copy_groups(nothing_shared(40)) == ()


def test_one_text_pasted_on_many_pairs_joins_a_large_group() -> None:
    rater, mark = np.repeat(np.arange(400), 10), np.arange(1, 4001)
    mark = np.where(rater < 60, 9999, mark)
    (group,) = copy_groups(source_of(rater, mark, 400))
    assert group.raters.tolist() == list(range(60))
    assert group.texts == 1


@pytest.mark.parametrize("kinds", [6, 60, 600])
def test_stock_phrases_that_all_use_alike_raise_no_alarm(kinds: int) -> None:
    alarms = sum(bool(copy_groups(source_of(*texts(seed, raters=50, each=20, kinds=kinds), 50))) for seed in range(40))
    assert alarms <= 1


def test_copiers_are_a_start_also_where_stock_phrases_join_everybody() -> None:
    rng = np.random.default_rng(0)
    rater = np.repeat(np.arange(100), 20)
    mark = rng.integers(1, 301, rater.size)
    place = np.arange(rater.size) % 20
    mark = np.where((rater < 5) & (place < 14), 1000 + place, mark)
    source = source_of(rater, mark, 100)
    assert starts_of(source) == ()
    starts = starts_of(source, tuple(group.raters for group in copy_groups(source)))
    assert [np.flatnonzero(start > 0.5).tolist() for start in starts] == [[0, 1, 2, 3, 4]]
