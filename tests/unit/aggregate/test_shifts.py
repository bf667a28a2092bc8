"""Raters who change: found where they do, seldom where they do not, and judged by what they say now."""

import numpy as np
import pytest
from scipy.stats import kstwobign
from simulated_columns import simulate_columns

from backstay.aggregate import AggregateSettings, VoteColumns, aggregate, fit_columns
from backstay.aggregate.multiplicity import discoveries
from backstay.aggregate.shifts import LEAST, earlier_votes, find_shifts
from backstay.aggregate.trust import known_of
from backstay.aggregate.votes import Ints
from backstay.records import Choice, Judgment, Task

SETTINGS = AggregateSettings(collusion=False)


def turning(seed: int, turned: int, *, items: int = 600, raters: int = 30) -> tuple[VoteColumns, Ints, Ints, Ints]:
    """Columns, truth, time, and each rater's moment of turning (never: the largest number); all right 85 % before."""
    columns, truth = simulate_columns(seed, items=items, raters=raters)
    rng = np.random.default_rng(seed)
    time = rng.permutation(columns.n_votes)
    moment = np.where(np.arange(raters) < turned, columns.n_votes // 2, columns.n_votes)
    right = rng.random(columns.n_votes) < np.where(time < moment[columns.rater], 0.85, 0.15)
    side = np.where(right, truth[columns.item], -truth[columns.item]).astype(np.int8)
    return columns._replace(side=side), truth, time, moment


def test_raters_who_turn_are_found_near_the_moment() -> None:
    columns, _, time, moment = turning(0, 6)
    fit = fit_columns(columns, SETTINGS)
    found = find_shifts(columns, fit, known_of(columns, fit, SETTINGS), time, 0.05)
    assert {shift.rater for shift in found} == set(range(6))
    for shift in found:
        mine = np.sort(time[columns.rater == shift.rater])
        assert abs(np.searchsorted(mine, time[shift.first]) - np.searchsorted(mine, moment[shift.rater])) <= 5
    earlier = earlier_votes(columns.rater.astype(np.int64), time, found)
    assert set(columns.rater[earlier]) == set(range(6))


def test_the_statistic_is_the_formula() -> None:
    columns, _, time, _ = turning(1, 1, items=200, raters=10)
    fit = fit_columns(columns, SETTINGS)
    known = known_of(columns, fit, SETTINGS)
    found = find_shifts(columns, fit, known, time, 0.999)
    assert found
    for shift in found:
        votes = [j for j in np.argsort(time) if columns.rater[j] == shift.rater and not np.isnan(fit.belief[j])]
        sums, knowledge, total, information = [], [], 0.0, 0.0
        for j in votes:
            sums.append(total)
            knowledge.append(information)
            q = max(fit.belief[j], 1.0 - fit.belief[j])
            p = known.accuracy[shift.rater] * q + (1.0 - known.accuracy[shift.rater]) * (1.0 - q)
            agrees = (columns.side[j] > 0) == (fit.belief[j] > 0.5)
            total += (agrees - p) * (2.0 * q - 1.0)
            information += (2.0 * q - 1.0) ** 2 * p * (1.0 - p)
        bridge = [abs(s - v / information * total) for s, v in zip(sums, knowledge, strict=True)]
        inside = range(LEAST, len(votes) - LEAST + 1)
        best = max(inside, key=lambda k: bridge[k])
        assert shift.first == votes[best]
        assert shift.p_value == pytest.approx(kstwobign.sf(bridge[best] / np.sqrt(information)), rel=1e-6)


def test_crowds_that_stay_the_same_seldom_raise_an_alarm() -> None:
    alarms = 0
    for seed in range(40):
        columns, _, time, _ = turning(seed, 0, items=200, raters=10)
        fit = fit_columns(columns, SETTINGS)
        alarms += bool(find_shifts(columns, fit, known_of(columns, fit, SETTINGS), time, 0.05))
    assert alarms <= 3


def test_votes_of_one_moment_are_never_parted() -> None:
    columns, _, time, _ = turning(2, 5)
    fit = fit_columns(columns, SETTINGS)
    known = known_of(columns, fit, SETTINGS)
    assert find_shifts(columns, fit, known, np.zeros_like(time), 0.05) == []
    assert find_shifts(columns, fit, known, time, 0.0) == []
    coarse = time * 3 // columns.n_votes
    for shift in find_shifts(columns, fit, known, coarse, 0.05):
        mine = columns.rater == shift.rater
        assert coarse[shift.first] > coarse[mine].min()


def test_discoveries_are_benjamini_and_hochbergs() -> None:
    p_value = np.array([0.9, 0.011, 0.001, 0.04, 0.02])
    assert discoveries(p_value, 0.05).tolist() == [1, 2, 3, 4]
    assert discoveries(np.array([0.02, 0.9, 0.9]), 0.05).tolist() == []
    assert discoveries(np.zeros(0), 0.05).size == 0


def test_a_rater_who_turned_is_believed_for_what_it_said_before() -> None:
    columns, truth, time, _ = turning(3, 12)
    tasks = [Task.make(f"p{i:04}", ("x", "y"), gold=int(truth[i] < 0) if i % 10 == 0 else None) for i in range(600)]
    judgments = [
        Judgment(id=f"j{j}", task_id=tasks[columns.item[j]].id, rater_id=f"r{columns.rater[j]:02}",
                 created_at=f"2026-01-01T{time[j]:05}", order_shown=(0, 1),
                 choice=Choice.prefer(0, 1) if columns.side[j] > 0 else Choice.prefer(1, 0))
        for j in range(columns.n_votes)
    ]  # fmt: skip
    settings = SETTINGS.model_copy(update={"folds": 0})
    now, blind = aggregate(tasks, judgments, settings), aggregate(
        tasks, judgments, settings.model_copy(update={"shift_level": 0.0})
    )  # fmt: skip
    assert {row["rater"] for row in now.summary["shifts"]} == {f"r{r:02}" for r in range(12)}
    assert blind.summary["shifts"] == []
    row = now.summary["shifts"][0]
    assert row["votes_before"] > 20 and row["votes_since"] > 20 and row["since"].startswith("2026-01-01T")
    trust = {t.rater_id: t for t in now.trust}
    assert all(trust[f"r{r:02}"].high < 0.5 for r in range(12))
    assert all(any(n.startswith("changed on 2026") for n in trust[f"r{r:02}"].notes) for r in range(12))
    right = [
        np.mean([(pair.p_a > 0.5) == (truth[int(pair.prompt_id[1:])] > 0) for pair in found.pairs])
        for found in (blind, now)
    ]
    assert right[1] > right[0] + 0.01
