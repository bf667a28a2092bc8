import numpy as np
import pytest
from bloc_crowds import crowd_columns, independent_columns
from crowd_simulator import simulate

from backstay.aggregate import AggregateSettings, VoteColumns, aggregate, alarm_rate, fit_columns
from backstay.aggregate.alarm_rate import draw_sides, independent_raters, with_false_alarms
from backstay.aggregate.trust import Group, groups_of

SETTINGS = AggregateSettings()


def alarms(columns: VoteColumns, settings: AggregateSettings = SETTINGS) -> tuple[Group, ...]:
    fit = fit_columns(columns, settings)
    return with_false_alarms(groups_of(columns, fit), columns, fit, settings)


def test_drawn_votes_have_the_accuracies_they_are_drawn_with() -> None:
    columns = crowd_columns(0, raters=4, items=20_000, per_item=4, bloc=0)
    side, shown = columns.side.copy(), columns.shown.copy()
    side[::7], shown[::5] = 0, 0
    columns = columns._replace(side=side, shown=shown)
    accuracy = np.array([[0.9, 0.6], [0.5, 0.5], [0.2, 0.8], [0.7, 0.9]])
    truth = np.random.default_rng(1).choice([-1, 1], 20_000)
    truth = np.where(columns.gold != 0, columns.gold, truth)
    log_odds = np.where(columns.gold != 0, 0.0, 30.0 * truth)
    drawn = draw_sides(columns, accuracy, log_odds, np.random.default_rng(2))
    assert np.array_equal(drawn == 0, side == 0)
    place = truth[columns.item] * shown
    for r in range(4):
        for where, expected in ((1, accuracy[r, 0]), (-1, accuracy[r, 1]), (0, accuracy[r].mean())):
            votes = (columns.rater == r) & (place == where) & (side != 0)
            assert np.mean(drawn[votes] == truth[columns.item[votes]]) == pytest.approx(expected, abs=0.03)


def test_the_truth_is_drawn_from_its_posterior() -> None:
    columns = crowd_columns(0, raters=3, items=9000, per_item=3, bloc=0)._replace(gold=np.zeros(9000, dtype=np.int8))
    drawn = draw_sides(columns, np.ones((3, 2)), np.full(9000, np.log(3.0)), np.random.default_rng(0))
    by_item = drawn.reshape(9000, 3)
    assert np.all(by_item == by_item[:, :1])
    assert np.mean(by_item[:, 0] == 1) == pytest.approx(0.75, abs=0.02)


def test_independent_raters_are_recovered() -> None:
    columns = independent_columns(3, raters=20, items=1500, per_item=8, skill=(0.55, 0.95), gold_share=0.0)
    skill = np.random.default_rng(1003).uniform(0.55, 0.95, 20)
    accuracy, _ = independent_raters(columns, fit_columns(columns, SETTINGS), SETTINGS)
    assert np.abs(accuracy.mean(axis=1) - skill).max() < 0.05


def test_no_crowd_of_independent_raters_is_like_a_planted_bloc() -> None:
    columns = crowd_columns(2, raters=50, items=300, per_item=6, bloc=12)
    found = alarms(columns)
    assert [group.false_alarms for group in found] == [pytest.approx(1 / 40)]
    assert [group.false_alarms for group in alarms(columns)] == [group.false_alarms for group in found]
    off = alarms(columns, AggregateSettings(bloc_simulations=0))
    assert [group.false_alarms for group in off] == [None]


def test_a_bloc_stands_out_in_evenly_drawn_items_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm_rate, "DRAWN_CO_VOTES", 4000)
    columns = crowd_columns(7, raters=50, items=1500, per_item=6, bloc=15)
    fit = fit_columns(columns, SETTINGS)
    groups = groups_of(columns, fit)
    gain = alarm_rate.observed_gains(groups, columns, fit, SETTINGS, 4000)[0]
    assert 0.1 * groups[0].bloc.gain < gain < 0.4 * groups[0].bloc.gain
    few = AggregateSettings(bloc_simulations=9)
    assert [group.false_alarms for group in with_false_alarms(groups, columns, fit, few)] == [pytest.approx(0.1)]


def test_crowds_of_independent_raters_are_seldom_called_improbable() -> None:
    crowds, lowest = 100, []
    for seed in range(crowds):
        columns = independent_columns(seed, raters=10, items=100, per_item=5, skill=(0.5, 0.9), gold_share=0.0)
        chances = [group.false_alarms or 0.0 for group in alarms(columns)]
        lowest += [min(chances)] if chances else []
    assert len(lowest) >= 4, "no alarm at all would prove nothing"
    assert np.mean(lowest) > 0.2
    assert sum(chance <= 0.05 for chance in lowest) <= 0.05 * crowds


def test_the_summary_and_the_notes_say_it() -> None:
    crowd = simulate(0, bloc=0.33)
    found = aggregate(crowd.tasks, crowd.judgments)
    assert [row["false_alarms"] for row in found.summary["blocs"]] == [pytest.approx(1 / 40)]
    notes = [note for rater in found.trust for note in rater.notes if note.startswith("acts as one")]
    assert notes
    assert all(note.endswith("; at most 1 in 40 crowds of independent raters shows as much") for note in notes)
    silent = aggregate(crowd.tasks, crowd.judgments, AggregateSettings(bloc_simulations=0))
    assert [row["false_alarms"] for row in silent.summary["blocs"]] == [None]
    assert not any("crowds" in note for rater in silent.trust for note in rater.notes)
    assert [rater.trust for rater in silent.trust] == [rater.trust for rater in found.trust]
