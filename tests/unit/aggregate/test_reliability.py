import dataclasses

import numpy as np
import pytest
from crowd_simulator import simulate
from scipy.special import expit

from backstay.aggregate import AggregateSettings, collect_votes, columns_of, fit_columns, fit_reliability
from backstay.aggregate.kernels import accuracies, evidence_of
from backstay.aggregate.population import fit_prior
from backstay.aggregate.reliability import Solver, rules_of
from backstay.aggregate.trust import known_of
from backstay.records import Choice, Judgment, Task

RULES = rules_of(AggregateSettings())
EVEN = np.array([3.0, 1.0])
NONE = np.zeros(6)


def test_evidence_of_a_vote_is_the_log_odds_of_accuracy() -> None:
    assert evidence_of(1, 0, 0.8, 0.9, 0.7) == pytest.approx(np.log(4.0))
    assert evidence_of(-1, 0, 0.8, 0.9, 0.7) == pytest.approx(-np.log(4.0))
    assert evidence_of(1, 1, 0.8, 0.9, 0.7) == pytest.approx(np.log(0.9 / 0.3))
    assert evidence_of(1, -1, 0.8, 0.9, 0.7) == pytest.approx(np.log(0.7 / 0.1))
    assert evidence_of(-1, -1, 0.8, 0.9, 0.7) == pytest.approx(-np.log(0.9 / 0.3))


def test_accuracy_is_the_posterior_mean_and_leaves_the_own_vote_out() -> None:
    cells, own = np.array([0.0, 0.0, 0.0, 0.0, 7.0, 3.0]), np.array([0.0, 0.0, 0.0, 0.0, 0.9, 0.1])
    assert accuracies(cells, NONE, EVEN, RULES)[0] == pytest.approx(10.0 / 14.0)
    assert accuracies(cells, own, EVEN, RULES)[0] == pytest.approx(9.1 / 13.0)
    assert accuracies(NONE, NONE, EVEN, RULES) == (0.75, 0.75, 0.75)


def test_accuracies_by_order_are_shrunk_to_the_overall_one() -> None:
    cells = np.array([8.0, 2.0, 4.0, 6.0, 0.0, 0.0])
    overall, first, second = accuracies(cells, NONE, EVEN, RULES)
    assert overall == pytest.approx((14.0 + 3.0) / 24.0)
    assert first == pytest.approx((8.0 + 8.0 * overall) / 18.0)
    assert second == pytest.approx((6.0 + 8.0 * overall) / 18.0)
    off = rules_of(AggregateSettings(position_votes=0.0))
    assert accuracies(cells, NONE, EVEN, off) == (overall, overall, overall)


def test_a_sweep_against_a_plain_reference() -> None:
    """Every message from the definitions: what a vote is judged by leaves it out on both sides."""
    crowd = simulate(11, raters=6, items=25, per_item=3, flippers=0.2, gold_share=0.2)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    solver = Solver(columns_of(votes, votes.gold), AggregateSettings(coupling=0.0))
    belief, population = solver.state.belief.copy(), solver.state.population[0].copy()
    solver.sweep()
    weight = np.where(np.isnan(votes.gold[votes.item]), 1.0, 2.0)
    for j in np.flatnonzero(votes.side):
        others = [k for k in np.flatnonzero(votes.rater == votes.rater[j]) if k != j and not np.isnan(belief[k])]
        table = {(z, y): 0.0 for z in (1, -1) for y in (1, -1)}  # in places shown
        for k in others:
            p_first = belief[k] if votes.shown[k] > 0 else 1.0 - belief[k]
            table[1, int(votes.side[k] * votes.shown[k])] += weight[k] * p_first
            table[-1, int(votes.side[k] * votes.shown[k])] += weight[k] * (1.0 - p_first)
        right = table[1, 1] + table[-1, -1] + population[0]
        overall = right / (sum(table.values()) + population.sum())
        first = (table[1, 1] + 8.0 * overall) / (table[1, 1] + table[1, -1] + 8.0)
        second = (table[-1, -1] + 8.0 * overall) / (table[-1, -1] + table[-1, 1] + 8.0)
        said_first = votes.side[j] * votes.shown[j] > 0
        ratio = first / (1.0 - second) if said_first else (1.0 - first) / second
        assert solver.state.evidence[j] == pytest.approx(votes.shown[j] * np.log(ratio), rel=1e-6)
    total = np.bincount(votes.item, solver.state.evidence, votes.n_items)
    np.testing.assert_allclose(solver.state.log_odds, total, atol=1e-9)
    for j in np.flatnonzero(votes.side):
        known = votes.gold[votes.item[j]]
        rest = total[votes.item[j]] - solver.state.evidence[j]
        expected = expit(rest) if np.isnan(known) else 0.98 if known else 0.02
        assert solver.state.belief[j] == pytest.approx(expected)


def test_one_rater_alone_vouches_for_none_of_its_own_votes() -> None:
    """All three pairs of three responses by one rater: no second voice, so no pair supports another."""
    tasks = [Task.make("p", pair) for pair in (("x", "y"), ("y", "z"), ("x", "z"))]
    judgments = [
        Judgment(id=f"j{i}", task_id=task.id, rater_id="only", order_shown=(), choice=Choice.prefer(0, 1),
                 created_at="2026")
        for i, task in enumerate(tasks)
    ]  # fmt: skip
    votes = collect_votes(tasks, judgments)
    fit = fit_reliability(votes, votes.gold, AggregateSettings())
    np.testing.assert_allclose(expit(fit.log_odds), 0.75)


def test_the_other_comparisons_help_where_votes_are_split() -> None:
    crowd = simulate(12, items=10, per_item=4)
    ends = [("x", "y"), ("y", "z"), ("x", "z")]
    tasks = [Task.make("p", pair) for pair in ends]
    said = {0: (0, 0, 0), 1: (0, 0, 0), 2: (0, 1, 0, 1)}
    judgments = [
        Judgment(id=f"{i}-{r}", task_id=tasks[i].id, rater_id=f"rater-{r:03d}", order_shown=(),
                 choice=Choice.prefer(first, 1 - first), created_at="2026")
        for i, row in said.items() for r, first in enumerate(row)
    ]  # fmt: skip
    votes = collect_votes([*crowd.tasks, *tasks], [*crowd.judgments, *judgments])
    place = [(item.a, item.b) for item in votes.items].index(("x", "z"))
    coupled = fit_reliability(votes, votes.gold, AggregateSettings())
    alone = fit_reliability(votes, votes.gold, AggregateSettings(coupling=0.0))
    assert coupled.prior[place] > 0.3
    assert coupled.log_odds[place] > alone.log_odds[place] + 0.3


def test_the_number_of_threads_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = simulate(13, items=6000, per_item=3, raters=40)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    tiled = columns_of(votes, votes.gold)
    found = []
    for cores in (1, 3):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        monkeypatch.setattr("backstay.aggregate.compiled.LEAST_FOR_THREADS", 10)
        found.append(fit_columns(tiled, AggregateSettings()).log_odds)
    assert np.array_equal(found[0], found[1])


def test_the_prior_is_found_again() -> None:
    rng = np.random.default_rng(0)
    right = rng.binomial(40, rng.beta(8.0, 2.0, 800))
    prior = fit_prior(right.astype(np.float64), (40 - right).astype(np.float64))
    assert prior.mean == pytest.approx(0.8, abs=0.03)
    assert 6.0 <= prior.right + prior.wrong <= 14.0


def test_renaming_a_and_b_mirrors_the_result() -> None:
    crowd = simulate(1, items=120, flippers=0.2)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    mirrored = dataclasses.replace(votes, side=-votes.side, shown=-votes.shown, gold=1.0 - votes.gold)
    settings = AggregateSettings()
    one = fit_reliability(votes, votes.gold, settings)
    other = fit_reliability(mirrored, mirrored.gold, settings)
    np.testing.assert_allclose(one.log_odds, -other.log_odds, atol=1e-9)
    mine = known_of(columns_of(votes, votes.gold), one, settings)
    theirs = known_of(columns_of(mirrored, mirrored.gold), other, settings)
    np.testing.assert_allclose(mine.accuracy, theirs.accuracy, atol=1e-9)


def test_gold_is_clamped_whatever_the_votes_say() -> None:
    crowd = simulate(2, items=80, flippers=0.4, gold_share=0.5)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    fit = fit_reliability(votes, votes.gold, AggregateSettings())
    known = ~np.isnan(votes.gold)
    assert np.all((fit.log_odds[known] > 20.0) == (votes.gold[known] > 0.5))


def test_a_flipper_is_read_backwards_or_not_at_all() -> None:
    crowd = simulate(3, flippers=0.3)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    flips = np.array([crowd.kind[name] == "flip" for name in votes.rater_ids])[votes.rater] & (votes.side != 0)
    inverted = fit_reliability(votes, votes.gold, AggregateSettings())
    ignored = fit_reliability(votes, votes.gold, AggregateSettings(adversarial="ignore"))
    assert np.all(inverted.evidence[flips] * votes.side[flips] < 0.0)
    assert np.all(ignored.evidence[flips] == 0.0)


def test_position_bias_is_found_with_its_sign() -> None:
    crowd = simulate(4, items=600, position_bias=1.2)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    fit = fit_reliability(votes, votes.gold, AggregateSettings())
    lean = np.array([1.0 if int(name[-3:]) % 2 == 0 else -1.0 for name in votes.rater_ids])
    columns = columns_of(votes, votes.gold)
    bias = known_of(columns, fit, AggregateSettings()).bias
    assert np.mean(np.sign(bias) == lean) > 0.95
    assert np.mean(bias * lean) == pytest.approx(1.1, abs=0.3)
    off = AggregateSettings(position_votes=0.0)
    assert np.all(known_of(columns, fit_columns(columns, off), off).bias == 0.0)
