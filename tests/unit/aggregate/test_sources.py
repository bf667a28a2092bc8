import numpy as np
import pytest
from numpy.typing import NDArray
from planted_votes import columns_from
from scipy.optimize import approx_fprime, minimize

from backstay.aggregate import VoteColumns, collect_votes, columns_of
from backstay.aggregate.baselines.bradley_terry import fit_bradley_terry
from backstay.aggregate.source_scores import (
    SLOPE_VARIANCE,
    Cells,
    Comparisons,
    cells_of,
    centred,
    dense_cells,
    derivatives,
    draw_scores,
    fit_scores,
    fit_slopes,
)
from backstay.aggregate.sources import (
    comparisons_of,
    dispersion,
    rank_sources,
    source_ranks,
    source_summary,
    sources_by_response,
)
from backstay.records import Choice, Judgment, Task

Floats = NDArray[np.float64]


def judged(
    seed: int, *, raters: int = 60, sources: int = 8, per_rater: int = 150, pushers: int = 0, target: int = 6,
    per_pusher: int | None = None,
) -> tuple[VoteColumns, list[str]]:  # fmt: skip
    """Bradley-Terry votes on sources of which s0 is best; the last `pushers` raters always choose the target."""
    rng = np.random.default_rng(seed)
    scores = np.linspace(1.2, -1.2, sources)
    taste = rng.normal(0.0, 0.2, (raters, sources))
    rows: list[tuple[int, int, int]] = []
    pairs: list[tuple[int, int]] = []
    for r in range(raters):
        pushes = r >= raters - pushers
        for _ in range(per_pusher if pushes and per_pusher else per_rater):
            a, b = (int(x) for x in rng.choice(sources, 2, replace=False))
            p = 1.0 / (1.0 + np.exp(-(scores[a] + taste[r, a] - scores[b] - taste[r, b])))
            side = 0 if rng.random() < 0.1 else (1 if rng.random() < p else -1)
            if pushes and target in (a, b):
                side = 1 if a == target else -1
            rows.append((len(pairs), r, side))
            pairs.append((a, b))
    return columns_from(rows, n_items=len(pairs), n_raters=raters, pairs=pairs), [f"s{k}" for k in range(sources)]


def log_posterior(votes: Comparisons, slope: Floats, keep: Floats, scores: Floats) -> float:
    total = -0.005 * float(np.sum(scores**2))
    for r, a, b, y, share in zip(*votes, strict=True):
        d = slope[r] * (scores[a] - scores[b])
        weight = share * min(keep[r, a], keep[r, b])
        total += weight * (y * -np.logaddexp(0.0, -d) + (1.0 - y) * -np.logaddexp(0.0, d))
    return total


def small() -> tuple[Comparisons, Floats, Floats]:
    columns, names = judged(0, raters=5, sources=4, per_rater=30)
    rng = np.random.default_rng(1)
    return comparisons_of(columns, names)[1], rng.uniform(0.3, 1.5, 5), rng.random((5, 4))


def test_derivatives_by_finite_differences() -> None:
    votes, slope, keep = small()
    scores = np.array([0.5, -0.2, 0.9, 0.0])
    gradient, hessian = np.empty(4), np.empty((4, 4))
    derivatives(votes, slope, keep, scores, gradient, hessian)

    def value(x: Floats) -> float:
        return log_posterior(votes, slope, keep, x)

    numeric = approx_fprime(scores, value, 1e-6)
    assert gradient == pytest.approx(numeric, abs=1e-3)
    for s in range(4):
        moved, other, rest = scores.copy(), np.empty(4), np.empty((4, 4))
        moved[s] += 1e-5
        derivatives(votes, slope, keep, moved, other, rest)
        assert hessian[s] == pytest.approx((gradient - other) / 1e-5, abs=1e-2)


def test_scores_by_a_general_optimiser() -> None:
    votes, slope, keep = small()
    found = fit_scores(votes, slope, keep, np.zeros(4))

    def loss(x: Floats) -> float:
        return -log_posterior(votes, slope, keep, x)

    best = minimize(loss, np.zeros(4), tol=1e-10).x
    assert found == pytest.approx(best - best.mean(), abs=1e-3)


def test_plain_scores_are_those_of_the_baseline() -> None:
    columns, names = judged(2, raters=20, per_rater=40)
    score = ((columns.side + 1.0) / 2.0).astype(np.float64)
    oracle = fit_bradley_terry(columns.a, columns.b, score, 1.0 - score, len(names), 0.01).scores
    assert rank_sources(columns, names, simulations=0).plain == pytest.approx(oracle, abs=1e-5)


def test_slope_of_a_rater_is_the_mode_of_its_posterior() -> None:
    votes, _, _ = small()
    scores = np.array([1.0, 0.3, -0.4, -0.9])
    found = fit_slopes(votes, scores, np.ones(5))
    grid = np.linspace(-1.0, 3.0, 4001)
    for r in range(5):
        own = Comparisons(*(column[votes.rater == r] for column in votes))
        d = scores[own.first] - scores[own.second]
        fits = [
            float(np.sum(own.score * -np.logaddexp(0, -x * d) + (1 - own.score) * -np.logaddexp(0, x * d)))
            - (x - 1.0) ** 2 / (2.0 * SLOPE_VARIANCE)
            for x in grid
        ]
        assert found[r] == pytest.approx(grid[int(np.argmax(fits))], abs=2e-3)


def test_cells_by_hand_and_their_variance_by_drawing() -> None:
    votes = Comparisons(
        np.array([0, 0], dtype=np.int32), np.array([0, 1], dtype=np.int32), np.array([1, 2], dtype=np.int32),
        np.array([1.0, 0.5]), np.array([1.0, 0.5]),
    )  # fmt: skip
    scores = np.array([np.log(3.0), 0.0, 0.0])
    cells = cells_of(votes, np.ones(1), scores, 0.0)
    assert cells.residual[0] == pytest.approx([0.25, -0.25, 0.0])
    assert cells.information[0] == pytest.approx([0.1875, 0.1875 + 0.125, 0.125])
    assert cells.votes[0] == pytest.approx([1.0, 1.5, 0.5])
    many = votes._replace(
        rater=np.zeros(40_000, dtype=np.int32), first=np.zeros(40_000, dtype=np.int32),
        second=np.ones(40_000, dtype=np.int32), score=np.ones(40_000), share=np.ones(40_000),
    )  # fmt: skip
    drawn = np.empty(40_000)
    draw_scores(many, np.ones(1), scores, np.zeros((1, 3)), 0.2, np.random.default_rng(0).random(40_000), drawn)
    assert drawn.mean() == pytest.approx(0.75, abs=0.01)
    assert drawn.var() == pytest.approx(0.75 * 0.25 - 0.05, abs=0.005)
    assert np.mean(drawn == 0.5) == pytest.approx(0.2, abs=0.01)


def test_dense_cells_need_enough_raters() -> None:
    votes = np.array([[12.0, 12.0], [11.0, 3.0], [10.0, 30.0]])
    assert dense_cells(votes, 10.0, 3).tolist() == [[True, False]] * 3
    assert dense_cells(votes, 10.0, 2).tolist() == [[True, True], [True, False], [True, True]]


def test_centre_is_a_median_and_taste_what_sampling_leaves() -> None:
    rng = np.random.default_rng(3)
    information = np.full((4000, 2), 50.0)
    offset = np.array([0.3, -0.1]) + rng.normal(0.0, np.sqrt(0.02 + 0.09), (4000, 2))
    found = centred(Cells(offset * 50.0, information, information), np.ones((4000, 2), dtype=np.bool_))
    assert found.centre == pytest.approx([0.3, -0.1], abs=0.03)
    assert found.taste == pytest.approx(0.3, abs=0.02)
    assert found.spread[0] == pytest.approx([np.sqrt(0.11)] * 2, rel=0.03)


def test_honest_raters_raise_no_alarm_and_the_robust_ranking_is_as_good() -> None:
    for seed in range(6):
        found = rank_sources(*judged(10 + seed), simulations=99)
        assert found.dense
        assert found.alarms == ()
        assert source_ranks(found.robust).tolist() == list(range(1, 9))


@pytest.mark.parametrize("pushers", [6, 12, 18])
def test_a_pushed_source_is_named_and_keeps_its_rank(pushers: int) -> None:
    found = rank_sources(*judged(20, pushers=pushers), simulations=99)
    alarm = found.alarms[0]
    assert (alarm.source, alarm.kind, alarm.direction) == ("s6", "raters", "up")
    assert alarm.p_value == pytest.approx(0.01)
    assert len(set(alarm.raters) & set(range(60 - pushers, 60))) >= 0.8 * pushers
    assert len(set(alarm.raters) - set(range(60 - pushers, 60))) <= 1
    assert abs(int(source_ranks(found.robust)[6]) - 7) <= 1
    if pushers == 18:
        assert source_ranks(found.plain)[6] <= 5


def test_a_source_that_is_pushed_down_is_named_too() -> None:
    columns, names = judged(21, pushers=12, target=2)
    pushed = columns.rater >= 48
    side = np.where(pushed & ((columns.a == 2) | (columns.b == 2)), -columns.side, columns.side).astype(np.int8)
    alarm = rank_sources(columns._replace(side=side), names, simulations=99).alarms[0]
    assert (alarm.source, alarm.direction) == ("s2", "down")


def test_many_accounts_with_few_votes_are_weighed_as_one_and_named_together() -> None:
    columns, names = judged(22, raters=660, pushers=600, per_pusher=8)
    found = rank_sources(columns, names, simulations=99)
    assert found.dense
    assert source_ranks(found.plain)[6] <= 5
    assert source_ranks(found.robust)[6] >= 6
    assert ("s6", "newcomers", "up") in [(a.source, a.kind, a.direction) for a in found.alarms]


def test_sparse_votes_get_the_plain_ranking() -> None:
    columns, names = judged(23, raters=100, per_rater=9)
    found = rank_sources(columns, names, simulations=19)
    assert not found.dense
    assert np.array_equal(found.robust, found.plain)
    assert not found.newcomers_z.any()


def test_sources_that_were_never_compared_are_said_to_be_so() -> None:
    rows = [(k, 0, 1) for k in range(4)]
    columns = columns_from(rows, n_items=4, n_raters=1, pairs=[(0, 1), (2, 3), (0, 1), (4, 5)])
    found = rank_sources(columns, ["p", "q", "r", "s", None, "p"], simulations=3)
    assert found.names == ("p", "q", "r", "s")
    assert found.component.tolist() == [0, 0, 1, 1]
    assert np.isnan(found.dispersion_z).all()
    summary = source_summary(found)
    assert not summary["all_comparable"]
    assert [row["votes"] for row in summary["sources"] if row["source"] in "pq"] == [2.0, 2.0]


def test_nothing_to_rank() -> None:
    columns = columns_from([(0, 0, 1)], n_items=1, n_raters=1)
    found = rank_sources(columns, [None, None])
    assert found.names == ()
    assert source_summary(found)["sources"] == []
    same = rank_sources(columns, ["p", "p"], simulations=2)
    assert same.plain.tolist() == [0.0] and not same.dense


def test_dispersion_says_nothing_of_a_source_with_few_raters() -> None:
    rng = np.random.default_rng(4)
    information = np.full((30, 3), 20.0)
    information[4:, 2] = 0.0
    residual = rng.normal(0.0, np.sqrt(information))
    residual[:3, 0] = 40.0
    z = dispersion(Cells(residual, information, information))
    assert z[0] > 5.0 > abs(z[1])
    assert np.isnan(z[2])


def test_of_two_sources_each_mirrors_the_other_and_both_are_named() -> None:
    honest = rank_sources(*judged(25, sources=2), simulations=99)
    assert honest.alarms == ()
    found = rank_sources(*judged(25, sources=2, pushers=9, target=1), simulations=99)
    assert {(a.source, a.direction) for a in found.alarms} == {("s0", "down"), ("s1", "up")}


def test_ranks_share_the_better_place() -> None:
    assert source_ranks(np.array([1.0, 3.0, 1.0, 0.0])).tolist() == [2, 1, 2, 4]


def test_sources_of_responses_follow_the_columns() -> None:
    tasks = [Task.make("p", ("x", "y")), Task.make("p", ("y", "z"))]
    judgments = [
        Judgment(
            id=str(k), task_id=task.id, rater_id="r", order_shown=(0, 1), choice=Choice.prefer(0, 1),
            created_at="2026-01-01", hash=str(k),
        )
        for k, task in enumerate(tasks)
    ]  # fmt: skip
    votes = collect_votes(tasks, judgments)
    columns = columns_of(votes, votes.gold)
    source = sources_by_response(votes, columns, {"x": "base", "y": "tuned"})
    assert [source[k] for k in columns.a] == ["base", "tuned"]
    assert [source[k] for k in columns.b] == ["tuned", None]
