from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from simulated_columns import chosen_votes, simulate_columns

from backstay.aggregate import AggregateSettings, VoteColumns, fit_columns
from backstay.aggregate.column_growth import NewVotes, grown, rater_items
from backstay.aggregate.incremental import NOT_RENEWED, FitState, update
from backstay.errors import UsageError

EXACT = AggregateSettings(coupling=0.0, collusion=False, tolerance=1e-6, max_iterations=300)


def held_out(columns: VoteColumns, count: int, seed: int = 0) -> tuple[VoteColumns, NewVotes]:
    """Columns without `count` votes, and these."""
    out = np.random.default_rng(seed).choice(columns.n_votes, count, replace=False)
    keep = np.ones(columns.n_votes, dtype=np.bool_)
    keep[out] = False
    base = chosen_votes(columns, keep)
    new = NewVotes.on(base, columns.item[out], columns.rater[out].astype(np.int64), columns.side[out],
                      shown=columns.shown[out], share=columns.share[out])  # fmt: skip
    return base, new


def fitted(columns: VoteColumns, settings: AggregateSettings = EXACT) -> FitState:
    return FitState.of(columns, fit_columns(columns, settings), settings)


def one(columns: VoteColumns, item: int, rater: int, side: int, **more: Any) -> NewVotes:
    return NewVotes.on(columns, np.array([item]), np.array([rater]), np.array([side], dtype=np.int8), **more)


def counted(state: FitState) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """Cells from the definition."""
    columns, cells = state.columns, np.zeros((state.columns.n_raters, 6))
    for j, i in enumerate(columns.item):
        belief, side, shown = state.fit.belief[j], columns.side[j], columns.shown[j]
        if side == 0 or np.isnan(belief):
            continue
        weight = columns.share[j] * (2.0 if columns.gold[i] else 1.0)
        row = cells[columns.rater[j]]
        if shown == 0:
            row[4] += weight * (belief if side > 0 else 1 - belief)
            row[5] += weight * (1 - belief if side > 0 else belief)
        else:
            first = belief if shown > 0 else 1 - belief
            row[0 if side == shown else 1] += weight * first
            row[2 if side == shown else 3] += weight * (1 - first)
    return cells


@pytest.mark.parametrize("seed", range(3))
def test_an_update_agrees_with_a_full_fit(seed: int) -> None:
    columns, _ = simulate_columns(seed, items=600)
    base, new = held_out(columns, 60, seed)
    before = fitted(base)
    done = update(before, new)
    full = fit_columns(columns, EXACT)
    assert done.converged and np.array_equal(full.population, before.fit.population) and not done.populations_moved
    order = np.lexsort((done.state.columns.rater, done.state.columns.item))
    np.testing.assert_array_equal(
        done.state.columns.rater[order], columns.rater[np.lexsort((columns.rater, columns.item))]
    )
    apart = np.abs(expit(done.state.fit.log_odds) - expit(full.log_odds))
    moved = np.abs(expit(before.fit.log_odds) - expit(full.log_odds))
    assert apart.max() < 3e-5 and moved.max() > 0.05
    np.testing.assert_allclose(done.state.fit.cells, counted(done.state), atol=1e-6)


def test_the_default_tolerance_bounds_the_difference() -> None:
    columns, _ = simulate_columns(4, items=6000, raters=100)
    base, new = held_out(columns, 30)
    settings = AggregateSettings(coupling=0.0, collusion=False)
    done = update(fitted(base, settings), new)
    full = fit_columns(columns, settings)
    assert np.abs(expit(done.state.fit.log_odds) - expit(full.log_odds)).max() < 2 * settings.tolerance
    assert done.swept < 0.2 * columns.n_items, done.swept


def test_updates_one_after_the_other_agree_with_one_of_all() -> None:
    columns, _ = simulate_columns(5, items=400)
    base, new = held_out(columns, 40)
    at_once, state = update(fitted(base), new).state, fitted(base)
    for k in range(40):
        state = update(state, one(state.columns, int(new.item[k]), int(new.rater[k]), int(new.side[k]),
                                  shown=new.shown[k : k + 1], share=new.share[k : k + 1])).state  # fmt: skip
    assert np.abs(expit(at_once.fit.log_odds) - expit(state.fit.log_odds)).max() < 3e-5


def test_new_items_raters_and_answers() -> None:
    columns, truth = simulate_columns(11, items=300)
    state = fitted(columns)
    unknown = np.flatnonzero(columns.gold == 0)[:20]
    new = NewVotes.on(
        columns, np.array([300, 300, 301, 5]), np.array([20, 2, 21, 21]), np.array([1, 1, -1, -1], dtype=np.int8),
        a=np.array([200, 202], dtype=np.int32), b=np.array([201, 203], dtype=np.int32), n_responses=204,
        gold=np.array([0, 1], dtype=np.int8), gold_item=unknown, gold_side=truth[unknown].astype(np.int8),
    )  # fmt: skip
    done = update(state, new)
    full = fit_columns(done.state.columns, EXACT)
    assert (done.state.columns.n_items, done.state.columns.n_raters) == (302, 22)
    assert set(done.touched) == {300, 301, 5, *unknown}
    apart = np.abs(expit(done.state.fit.log_odds) - expit(full.log_odds))
    assert np.array_equal(full.population, state.fit.population) and apart.max() < 3e-5
    np.testing.assert_allclose(done.state.fit.cells, counted(done.state), atol=1e-6)
    listed = rater_items(done.state.columns)
    np.testing.assert_array_equal(done.state.of_rater.begin, listed.begin)
    for r in range(22):
        part = slice(listed.begin[r], listed.begin[r + 1])
        assert sorted(done.state.of_rater.item[part]) == sorted(listed.item[part])


def test_a_second_vote_on_an_item_replaces_the_first() -> None:
    columns, _ = simulate_columns(7)
    j = int(np.flatnonzero((columns.side == 1) & (columns.gold[columns.item] == 0))[3])
    done = update(fitted(columns), one(columns, int(columns.item[j]), int(columns.rater[j]), -1))
    expected = columns.side.copy()
    expected[j] = -1
    np.testing.assert_array_equal(done.state.columns.side, expected)
    full = fit_columns(done.state.columns, EXACT)
    assert np.abs(expit(done.state.fit.log_odds) - expit(full.log_odds)).max() < 3e-5
    np.testing.assert_allclose(done.state.fit.cells, counted(done.state), atol=1e-6)


def test_the_state_before_stays_as_it_was_and_nothing_new_changes_nothing() -> None:
    columns, _ = simulate_columns(8)
    base, new = held_out(columns, 20)
    state = fitted(base)
    kept = [array.copy() for array in (state.fit.cells, state.fit.belief, state.fit.log_odds, state.told)]
    update(state, new)
    now = (state.fit.cells, state.fit.belief, state.fit.log_odds, state.told)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(kept, now, strict=True))
    none = update(state, NewVotes.on(base, *(np.empty(0, dtype=np.int64),) * 2, np.empty(0, dtype=np.int8)))
    assert (none.swept, none.passes, none.converged) == (0, 0, True)
    np.testing.assert_array_equal(none.state.fit.log_odds, state.fit.log_odds)


def test_what_is_learnt_of_a_rater_reaches_its_other_items() -> None:
    """Answers that show a rater to be a liar move items that had no news."""
    columns, truth = simulate_columns(9, items=120, raters=6, per_item=2)
    state = fitted(columns)
    theirs = np.unique(columns.item[(columns.rater == 0) & (columns.gold[columns.item] == 0)])
    asked = theirs[: theirs.size // 2]
    said = np.array([int(columns.side[(columns.item == i) & (columns.rater == 0)][0]) or 1 for i in asked])
    none = np.empty(0, dtype=np.int64)
    new = NewVotes.on(columns, none, none, none.astype(np.int8), gold_item=asked, gold_side=(-said).astype(np.int8))
    done = update(state, new)
    rest = np.setdiff1d(theirs, asked)
    assert np.abs(expit(done.state.fit.log_odds) - expit(state.fit.log_odds))[rest].max() > 0.2
    assert not np.isin(rest, done.touched).any() and truth.size == 120


def test_new_votes_of_a_known_bloc_are_discounted_and_the_result_says_what_is_not_renewed() -> None:
    columns, _ = simulate_columns(10, items=400, raters=16, per_item=5)
    shared = np.random.default_rng(0).choice(np.array([-1, 1], dtype=np.int8), 400)
    members = columns.rater < 5
    columns = columns._replace(side=np.where(members, shared[columns.item], columns.side).astype(np.int8))
    settings = AggregateSettings(coupling=0.0)
    state = fitted(columns, settings)
    assert state.fit.blocs and state.fit.blocs[0].membership[:5].min() > 0.9
    voters = [set(columns.rater[columns.item == i]) for i in range(400)]
    place = next(i for i in range(400) if len(voters[i] & {0, 1, 2, 3, 4}) == 3 and not columns.gold[i])
    newcomer = min({0, 1, 2, 3, 4} - voters[place])
    done = update(state, one(columns, place, newcomer, int(shared[place])))
    after = done.state
    mine = (after.columns.item == place) & (after.columns.rater < 5) & (after.columns.side == shared[place])
    copying = state.fit.blocs[0].copying
    np.testing.assert_allclose(after.fit.independence[mine], 1 / (1 + 3 * copying), rtol=0.05)
    assert done.not_renewed == NOT_RENEWED == ("coupling", "collusion", "populations")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"item": 300}, "item is 300"),
        ({"side": 2}, "side is 2"),
        ({"rater": -1}, "rater is -1"),
        ({"n_raters": 10}, "10 raters"),
        ({"share": np.array([0.5, 1.0], dtype=np.float32)}, "differ in length"),
        ({"share": np.array([np.nan], dtype=np.float32)}, "share is nan"),
        ({"gold_item": np.array([900])}, "gold_item is 900"),
    ],
)
def test_votes_that_do_not_fit_are_refused(more: dict[str, Any], message: str) -> None:
    columns, _ = simulate_columns(0)
    given = {"item": 0, "rater": 0, "side": 1} | more
    with pytest.raises(UsageError, match=message):
        grown(columns, one(columns, **given))
