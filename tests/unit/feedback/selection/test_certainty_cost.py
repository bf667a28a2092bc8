import math

import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.feedback.selection.belief import FIRST, Belief, Ties, Trust, prior_belief, vote_evidence
from backstay.feedback.selection.certainty_cost import Team, certainty_cost
from backstay.feedback.selection.stopping import Ballots, StoppingRule

EMPTY = Ballots(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3)))
MANY = 400


def team(right: float, wrong: float, **changes: float) -> Team:
    """So many raters that nobody meets an item twice, all alike."""
    same = np.ones(MANY)
    return Team(
        Trust(right * same, wrong * same), np.arange(MANY), same, 60.0 * same,
        changes.get("pace_spread", 0.0), changes.get("checks", 0.0),
        changes.get("price_per_judgment", 0.0), changes.get("price_per_hour", 0.0),
    )  # fmt: skip


def nothing_known(items: int) -> Belief:
    return prior_belief(np.zeros(items), Ties.none())


def test_two_of_three_is_the_sum_by_hand() -> None:
    # accuracy 0.9, certainty from two that agree: stops after 2 with 0.82, else a third settles it
    rule = StoppingRule(certainty=0.85, least=2, most=3, independent=2)
    found = certainty_cost(nothing_known(100), EMPTY, team(9e5, 1e5), Ties.none(), rule, np.random.default_rng(1), 60)
    assert found.items == 100
    assert found.judgments.mean == pytest.approx(100 * (2 * 0.82 + 3 * 0.18), rel=0.01)
    assert found.judgments.low < found.judgments.mean < found.judgments.high
    assert found.hours.mean == pytest.approx(found.judgments.mean / 60.0)


def test_votes_that_were_cast_are_not_asked_again() -> None:
    rule = StoppingRule(certainty=0.85, least=2, most=3, independent=2)
    trust = Trust(np.full(2, 9e5), np.full(2, 1e5))
    cast = Ballots(np.array([0, 0]), np.array([1000, 1001]), vote_evidence(np.array([FIRST] * 2), trust, Ties.none()))
    done = certainty_cost(nothing_known(1), cast, team(9e5, 1e5), Ties.none(), rule, np.random.default_rng(1))
    assert (done.items, done.judgments.mean) == (0, 0.0)
    other = certainty_cost(nothing_known(2), cast, team(9e5, 1e5), Ties.none(), rule, np.random.default_rng(1))
    assert other.items == 1 and 2.0 <= other.judgments.mean <= 3.0


def test_coins_end_at_the_most_votes() -> None:
    rule = StoppingRule(certainty=0.95, least=2, most=4, independent=2)
    found = certainty_cost(nothing_known(50), EMPTY, team(1.0, 1.0), Ties.none(), rule, np.random.default_rng(2), 20)
    assert found.judgments.low == found.judgments.high == 200.0
    assert found.certain.mean == 0.0


def test_money_counts_judgments_hours_and_checks() -> None:
    rule = StoppingRule(certainty=0.95, least=2, most=4, independent=2)
    paid = team(1.0, 1.0, checks=0.2, price_per_judgment=0.1, price_per_hour=12.0)
    found = certainty_cost(nothing_known(50), EMPTY, paid, Ties.none(), rule, np.random.default_rng(2), 20)
    assert found.judgments.mean == pytest.approx(250.0)  # a fifth of all assignments are checks
    assert found.money.mean == pytest.approx(250.0 * 0.1 + 250.0 / 60.0 * 12.0)


def test_an_uncertain_pace_widens_the_hours_and_not_the_votes() -> None:
    rule = StoppingRule(certainty=0.95, least=2, most=4, independent=2)
    loose = certainty_cost(
        nothing_known(50), EMPTY, team(1.0, 1.0, pace_spread=0.5), Ties.none(), rule, np.random.default_rng(2), 40
    )
    assert loose.judgments.low == loose.judgments.high
    # each rater's pace has its own factor: the mean of 1 / exp(N(0, s^2)) is exp(s^2 / 2)
    assert loose.hours.mean == pytest.approx(200.0 / 60.0 * math.exp(0.125), rel=0.03)
    assert loose.hours.low < loose.hours.mean < loose.hours.high


def test_a_sample_of_many_items_is_scaled() -> None:
    rule = StoppingRule(certainty=0.95, least=2, most=4, independent=2)
    found = certainty_cost(nothing_known(5000), EMPTY, team(1.0, 1.0), Ties.none(), rule, np.random.default_rng(2), 3)
    assert found.judgments.mean == pytest.approx(20000.0)


def test_a_team_that_never_votes_is_refused() -> None:
    with pytest.raises(UsageError, match="nobody is expected to vote"):
        Team(Trust(np.ones(1), np.ones(1)), np.zeros(1, dtype=np.int64), np.zeros(1), np.ones(1))
    with pytest.raises(UsageError, match="pace of 0"):
        Team(Trust(np.ones(1), np.ones(1)), np.zeros(1, dtype=np.int64), np.ones(1), np.zeros(1))
