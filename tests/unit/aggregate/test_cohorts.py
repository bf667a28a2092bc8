from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from planted_votes import columns_from

from backstay.aggregate import AggregateSettings, Fit, VoteColumns, fit_columns
from backstay.aggregate.agreement import krippendorff_alpha
from backstay.aggregate.cohort_bias import bias_audit, bias_summary
from backstay.aggregate.cohort_differences import (
    agreements,
    chance_of_difference,
    cohort_differences,
    differences_summary,
    expected_false,
    shortfall,
)
from backstay.aggregate.cohorts import (
    CohortAnswers,
    Cohorts,
    cohort_alpha,
    cohort_answers,
    cohort_labels,
    cohort_p_a,
    cohorts_of,
    own_truths,
    passing_cohorts,
    ruled,
    through,
)
from backstay.aggregate.multiplicity import holm
from backstay.aggregate.reliability import right_wrong
from backstay.aggregate.trust import known_of
from backstay.errors import UsageError
from backstay.records import Rater

SETTINGS = AggregateSettings(collusion=False, coupling=0.0)
Signs = NDArray[np.int64]


def two_cohorts(
    seed: int, *, differ: float, accuracy: tuple[float, float] = (0.85, 0.85), sizes: tuple[int, int] = (20, 20),
    items: int = 300, per_item: int = 6, gold: float = 0.1,
) -> tuple[VoteColumns, Cohorts, Signs]:  # fmt: skip
    """Raters of x and y, who hold opposite truths on a share of the items without gold; truths (2, I)."""
    rng = np.random.default_rng(seed)
    known = rng.random(items) < gold
    truth = np.tile(rng.choice([-1, 1], items), (2, 1))
    truth[1, ~known & (rng.random(items) < differ)] *= -1
    label = np.repeat([0, 1], sizes)
    rows = [
        (i, int(r), int(truth[label[r], i] if rng.random() < accuracy[label[r]] else -truth[label[r], i]))
        for i in range(items)
        for r in rng.choice(label.size, per_item, replace=False)
    ]
    columns = columns_from(rows, n_items=items, n_raters=label.size, gold=list(np.where(known, truth[0], 0)))
    return columns, cohorts_of(["xy"[k] for k in label]), truth


def measured(
    columns: VoteColumns, cohorts: Cohorts, permutations: int = 199
) -> tuple[Fit, CohortAnswers, float, set[int]]:
    fit = fit_columns(columns, SETTINGS)
    answers = cohort_answers(columns, fit, cohorts)
    (found,) = cohort_differences(columns, fit, cohorts, answers, permutations=permutations)
    return fit, answers, found.p_value, set(found.items)


def test_labels_come_from_one_field_of_the_raters() -> None:
    raters = [Rater(id="p", display_name="P", cohort={"language": "de"}), Rater(id="q", display_name="Q")]
    assert cohort_labels(["q", "p", "z"], raters, "language") == [None, "de", None]
    cohorts = cohorts_of([None, "de", "", "cs", "de"])
    assert cohorts.names == ("cs", "de")
    assert cohorts.code.tolist() == [-1, 1, -1, 0, 1]


def test_channel_by_bayes() -> None:
    for log_odds, chance in product((-3.0, 0.4, 8.0), (0.01, 0.3)):
        p = 1.0 / (1.0 + np.exp(-log_odds))
        own = (1.0 - chance) * p + chance / 2.0
        assert through(np.array([log_odds]), chance)[0] == pytest.approx(np.log(own / (1.0 - own)))
    assert through(np.array([2.5]), 0.0)[0] == pytest.approx(2.5)


def test_answers_and_differences_by_enumeration_of_all_truths() -> None:
    """Three cohorts and unlabelled raters: sum over the common truth and every cohort's own."""
    rng = np.random.default_rng(5)
    rows = [(i, r, int(rng.choice([-1, 1]))) for i in range(6) for r in range(8)]
    columns = columns_from(rows, n_items=6, n_raters=8)
    cohorts = cohorts_of(["x", "x", "y", "y", "z", "z", None, None])
    fit = fit_columns(columns, SETTINGS)
    fit = replace(fit, log_odds=fit.evidence.reshape(6, 8).sum(axis=1) + 0.3)
    answers = cohort_answers(columns, fit, cohorts, divergence=0.2)
    differ = chance_of_difference(fit.log_odds - answers.evidence.sum(axis=1), answers, 0, 2)
    for i in range(6):
        told = fit.evidence.reshape(6, 8)[i]
        evidence = [told[:2].sum(), told[2:4].sum(), told[4:6].sum()]
        mass = np.zeros((2, 2, 2))
        for z, own in product((1, -1), product((1, -1), repeat=3)):
            weight = np.exp(z * (0.3 + told[6:].sum()) / 2.0)
            for c in range(3):
                weight *= (0.9 if own[c] == z else 0.1) * np.exp(own[c] * evidence[c] / 2.0)
            mass[tuple(int(x < 0) for x in own)] += weight
        mass /= mass.sum()
        p_first = [mass[0].sum(), mass[:, 0].sum(), mass[:, :, 0].sum()]
        assert 1.0 / (1.0 + np.exp(-answers.log_odds[i])) == pytest.approx(p_first)
        assert differ[i] == pytest.approx(mass[0, :, 1].sum() + mass[1, :, 0].sum())


def test_without_divergence_every_cohort_has_the_pooled_answer_and_gold_settles_all() -> None:
    columns, cohorts, _ = two_cohorts(0, differ=0.0)
    fit = fit_columns(columns, SETTINGS)
    alike = cohort_answers(columns, fit, cohorts, divergence=0.0)
    assert alike.log_odds == pytest.approx(np.tile(fit.log_odds[:, None], 2))
    apart = cohort_answers(columns, fit, cohorts, divergence=1.0 - 1e-12)
    open_ = columns.gold == 0
    assert apart.log_odds[open_] == pytest.approx(apart.evidence[open_], abs=1e-6)
    assert np.all(apart.log_odds[~open_] == fit.log_odds[~open_, None])


def test_divergence_is_small_where_cohorts_agree_and_large_where_they_do_not() -> None:
    for differ, low, high in ((0.0, 0.0, 0.02), (0.3, 0.12, 0.8)):
        columns, cohorts, _ = two_cohorts(1, differ=differ)
        assert low <= cohort_answers(columns, fit_columns(columns, SETTINGS), cohorts).divergence <= high


def test_own_answers_are_better_than_the_pooled_ones_where_cohorts_differ() -> None:
    columns, cohorts, truth = two_cohorts(2, differ=0.3, sizes=(28, 12))
    fit, answers, p_value, _ = measured(columns, cohorts)
    open_ = columns.gold == 0
    own = np.mean(np.sign(answers.log_odds[open_]) == truth.T[open_], axis=0)
    pooled = np.mean(np.sign(fit.log_odds[open_, None]) == truth.T[open_], axis=0)
    assert p_value <= 0.01
    assert own[1] > pooled[1] + 0.05
    assert own[0] > pooled[0] - 0.02


@pytest.mark.parametrize("accuracy", [(0.85, 0.85), (0.95, 0.65)])
def test_false_alarms_of_the_test_are_as_rare_as_promised(accuracy: tuple[float, float]) -> None:
    """Cohorts of equal values, of equal or different skill: p below 0.1 in about a tenth of 40 crowds."""
    p_values = []
    for seed in range(40):
        columns, cohorts, _ = two_cohorts(100 + seed, differ=0.0, accuracy=accuracy, items=120)
        p_values.append(measured(columns, cohorts, permutations=99)[2])
    assert sum(p <= 0.1 for p in p_values) <= 9  # binomial(40, 0.1) exceeds 9 in 0.5 % of cases
    assert sum(p > 0.5 for p in p_values) >= 10


def test_items_that_differ_are_found_with_few_false_ones() -> None:
    right, false, missed = 0, 0, 0
    for seed in range(5):
        columns, cohorts, truth = two_cohorts(200 + seed, differ=0.2, per_item=14)
        _, _, p_value, items = measured(columns, cohorts)
        true = set(np.flatnonzero(truth[0] != truth[1]).tolist())
        assert p_value <= 0.01
        right, false, missed = right + len(items & true), false + len(items - true), missed + len(true - items)
    assert false / (right + false) < 0.1
    assert right / (right + missed) > 0.6


def test_agreements_by_loops() -> None:
    columns, cohorts, _ = two_cohorts(3, differ=0.2, items=30, per_item=4)
    weight = np.random.default_rng(0).random(columns.n_votes)
    label = np.where(cohorts.code == 0, 1, -1).astype(np.int8)
    product_, weights = np.zeros(3), np.zeros(3)
    for i in np.flatnonzero(columns.gold == 0):
        votes = range(int(columns.start[i]), int(columns.start[i + 1]))
        if len({int(label[columns.rater[j]]) for j in votes}) < 2:
            continue
        for j in votes:
            for k in range(j + 1, votes.stop):
                kind = {2: 0, -2: 1, 0: 2}[int(label[columns.rater[j]]) + int(label[columns.rater[k]])]
                product_[kind] += weight[j] * weight[k] * int(columns.side[j]) * int(columns.side[k])
                weights[kind] += weight[j] * weight[k]
    total, pairs = agreements(columns, weight, label)
    assert total.sum(axis=0) == pytest.approx(product_)
    assert pairs.sum(axis=0) == pytest.approx(weights)


def test_shortfall_in_standard_errors_by_the_jackknife() -> None:
    rng = np.random.default_rng(1)
    pairs = rng.uniform(1.0, 3.0, (400, 3))
    total = pairs * (np.array([0.6, 0.3, 0.35]) + rng.normal(0.0, 0.5, (400, 3)))

    def plain(keep: NDArray[np.bool_]) -> float:
        a, b, across = total[keep].sum(axis=0) / pairs[keep].sum(axis=0)
        return float(a * b - across * abs(across))

    left_out = np.array([plain(np.arange(400) != i) for i in range(400)])
    error = np.sqrt(399 / 400 * np.sum((left_out - left_out.mean()) ** 2))
    assert shortfall(total, pairs) == pytest.approx(plain(np.ones(400, dtype=bool)) / error, rel=0.01)
    assert shortfall(np.zeros((5, 3)), np.zeros((5, 3))) == 0.0


def test_corrections_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([])).size == 0
    assert expected_false(np.array([0.2, 0.99, 0.95, 0.9]), 0.05).tolist() == [1, 2]
    assert expected_false(np.array([0.2, 0.9]), 0.05).size == 0


def test_small_cohorts_and_cohorts_without_shared_items_are_not_measured() -> None:
    columns, _, _ = two_cohorts(4, differ=0.3, items=40)
    fit = fit_columns(columns, SETTINGS)
    few = cohorts_of(["x"] * 3 + ["y"] * 37)
    assert cohort_differences(columns, fit, few, cohort_answers(columns, fit, few)) == ()
    assert differences_summary([]) == []


def test_honest_disagreement_costs_no_trust_where_cohorts_are_judged_by_their_own_truth() -> None:
    columns, cohorts, _ = two_cohorts(6, differ=0.35, sizes=(30, 10), per_item=10)
    assert passing_cohorts(columns, cohorts).all()

    def accuracy(columns: VoteColumns) -> float:
        known = known_of(columns, fit_columns(columns, SETTINGS), SETTINGS)
        return float(known.accuracy[cohorts.code == 1].mean())

    apart = own_truths(columns, cohorts, np.array([True, True]))
    assert accuracy(columns) < 0.75
    assert accuracy(apart) == pytest.approx(0.85, abs=0.04)
    assert apart.n_votes == columns.n_votes
    assert apart.n_items > columns.n_items


def test_own_truths_move_only_open_votes_of_the_named_cohort() -> None:
    rows = [(0, 0, 1), (0, 1, -1), (0, 2, 1), (1, 0, 1), (1, 1, -1), (1, 2, -1)]
    columns = columns_from(rows, n_items=2, n_raters=3, gold=[0, -1])
    apart = own_truths(columns, cohorts_of(["x", "y", None]), np.array([False, True]))
    assert apart.start.tolist() == [0, 2, 5, 6]
    assert apart.rater.tolist() == [0, 2, 0, 1, 2, 1]
    assert apart.side.tolist() == [1, 1, 1, -1, -1, -1]
    assert apart.gold.tolist() == [0, -1, 0]
    assert not {int(apart.a[2]), int(apart.b[2])} & {*apart.a[:2].tolist(), *apart.b[:2].tolist()}
    assert max(apart.a.max(), apart.b.max()) < apart.n_responses


def test_rules_by_hand() -> None:
    pooled = np.array([0.8, 0.7, 0.4, 0.5])
    by_cohort = np.array([[0.9, 0.6], [0.9, 0.2], [0.3, 0.4], [0.5, 0.5]])
    assert ruled("pooled", pooled, by_cohort)[0].tolist() == pooled.tolist()
    assert ruled("per_cohort", pooled, by_cohort)[0] == pytest.approx([0.75, 0.55, 0.35, 0.5])
    shares = ruled("per_cohort", pooled, by_cohort, population={"x": 3.0, "y": 1.0}, names=("x", "y"))[0]
    assert shares == pytest.approx([0.825, 0.725, 0.325, 0.5])
    p_a, factor = ruled("min_over_cohorts", pooled, by_cohort)
    assert p_a == pytest.approx([0.6, 0.5, 0.4, 0.5])
    assert factor.tolist() == [1.0, 0.0, 1.0, 1.0]
    assert ruled("min_over_cohorts", pooled, np.zeros((4, 0)))[0].tolist() == pooled.tolist()
    with pytest.raises(UsageError, match="no share to any cohort"):
        ruled("per_cohort", pooled, by_cohort, population={"z": 1.0}, names=("x", "y"))


@pytest.mark.parametrize("rule", ["pooled", "per_cohort", "min_over_cohorts"])
def test_rules_are_the_same_with_a_and_b_renamed(rule: str) -> None:
    rng = np.random.default_rng(8)
    pooled, by_cohort = rng.random(50), rng.random((50, 3))
    p_a, factor = ruled(rule, pooled, by_cohort)  # type: ignore[arg-type]  # the parameter is one of the literals
    p_b, other = ruled(rule, 1.0 - pooled, 1.0 - by_cohort)  # type: ignore[arg-type]  # as above
    assert p_a == pytest.approx(1.0 - p_b)
    assert factor.tolist() == other.tolist()


def test_alpha_of_a_cohort_is_that_of_its_votes_alone() -> None:
    columns, cohorts, _ = two_cohorts(9, differ=0.2, accuracy=(0.95, 0.6))
    for c, found in enumerate(cohort_alpha(columns, cohorts)):
        counts = np.zeros((columns.n_items, 3))
        for item, rater, side in zip(columns.item, columns.rater, columns.side, strict=True):
            counts[item, side + 1] += cohorts.code[rater] == c
        assert found.value == pytest.approx(krippendorff_alpha(counts))
    first, second = cohort_alpha(columns, cohorts)
    assert first.low > second.high


def test_probabilities_are_cooled_as_the_pooled_ones() -> None:
    answers = CohortAnswers(np.array([[2.0, -9.0]]), np.zeros((1, 2)), np.zeros((1, 2)), 0.1)
    assert cohort_p_a(answers, 2.0, 3.0) == pytest.approx(1.0 / (1.0 + np.exp([[-1.0, 3.0]])))


def test_audit_warns_of_a_cohort_that_weighs_less_than_its_gold_explains() -> None:
    columns, cohorts, _ = two_cohorts(10, differ=0.0, items=500, gold=0.3)
    fit = fit_columns(columns, SETTINGS)
    right, wrong = right_wrong(fit.cells)
    fair = bias_audit(columns, fit, cohorts, right / (right + wrong))
    halved = np.where(cohorts.code[columns.rater] == 1, 0.5, 1.0) * fit.evidence
    x, y = bias_audit(columns, replace(fit, evidence=halved), cohorts, right / (right + wrong))
    assert [row.warning for row in fair] == ["", ""]
    assert fair[1].relative_weight.low < 1.0 < fair[1].relative_weight.high
    assert not x.warning
    assert y.warning.startswith("its votes weigh")
    assert y.relative_weight.value == pytest.approx(0.5 * fair[1].relative_weight.value)
    assert bias_summary([y])[0]["gold_accuracy"]["value"] == pytest.approx(y.gold_accuracy.value)


def test_audit_explains_lower_weight_by_lower_accuracy_on_gold() -> None:
    columns, cohorts, _ = two_cohorts(11, differ=0.0, accuracy=(0.9, 0.7), items=600, gold=0.3)
    fit = fit_columns(columns, SETTINGS)
    right, wrong = right_wrong(fit.cells)
    x, y = bias_audit(columns, fit, cohorts, right / (right + wrong))
    assert y.weight.high < x.weight.low
    assert y.gold_accuracy.high < x.gold_accuracy.low
    assert not y.warning


def test_audit_says_nothing_without_gold() -> None:
    columns, cohorts, _ = two_cohorts(12, differ=0.0, items=60, gold=0.0)
    fit = fit_columns(columns, SETTINGS)
    x, _ = bias_audit(columns, fit, cohorts, np.full(40, 0.8))
    assert np.isnan(x.relative_weight.value) and np.isnan(x.gold_accuracy.value) and not x.warning
    assert x.trust.value == pytest.approx(0.8)
    assert bias_summary([x])[0]["relative_weight"] == {"value": None, "low": None, "high": None}
