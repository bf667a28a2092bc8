from dataclasses import replace

import numpy as np
import pytest
from cpu_time import least_cpu_s

from backstay.errors import UsageError
from backstay.feedback.selection.belief import Belief, Ties, Trust
from backstay.feedback.selection.choose import (
    Candidates,
    Choice,
    ChoiceRule,
    GoldPool,
    OwnPast,
    Purpose,
    choose,
    vote_probabilities,
)
from backstay.feedback.selection.information import information_gain
from backstay.feedback.selection.keyed import keyed_rng

TRUST = Trust(np.array(4.0), np.array(1.0))
NO_GOLD = GoldPool(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.bool_))
NO_PAST = OwnPast(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_))
GOLD = GoldPool(np.array([2, 0, 0]), np.zeros(3, dtype=np.bool_), np.zeros(3, dtype=np.bool_))
PAST = OwnPast(np.array([5, 30, 40]), np.zeros(3, dtype=np.bool_))
KEY = bytes(range(32))


def candidates(size: int, votes: int = 3) -> Candidates:
    belief = Belief(np.random.default_rng(0).normal(size=(size, 3)))
    return Candidates(belief, np.full(size, votes), np.zeros(size, dtype=np.int64))


def drawn(rule: ChoiceRule, many: int, given: Candidates) -> list[Choice]:
    found = [choose(given, GOLD, PAST, TRUST, Ties(), rule, keyed_rng(KEY, "p", "r", n)) for n in range(many)]
    return [choice for choice in found if choice is not None]


def test_every_choice_comes_as_often_as_its_propensity_says() -> None:
    rule, given, many = ChoiceRule(gold=0.2, repeat=0.1, uniform=0.3, temperature=0.5), candidates(4), 6000
    found = drawn(rule, many, given)
    propensity = {(c.purpose, c.place): c.propensity for c in found}
    assert sum(propensity.values()) == pytest.approx(1.0)  # all choices that can come did
    for key, p in propensity.items():
        count = sum((c.purpose, c.place) == key for c in found)
        assert count == pytest.approx(many * p, abs=4.5 * (many * p * (1 - p)) ** 0.5)


def test_gold_comes_with_the_same_chance_after_any_past() -> None:
    rule = ChoiceRule(gold=0.2, repeat=0.0)
    gold = np.array([c.purpose is Purpose.GOLD for c in drawn(rule, 5000, candidates(3))])
    after_gold, after_vote = gold[1:][gold[:-1]].mean(), gold[1:][~gold[:-1]].mean()
    assert after_gold == pytest.approx(0.2, abs=0.05)
    assert after_vote == pytest.approx(0.2, abs=0.025)


def test_the_most_telling_item_is_the_most_probable() -> None:
    given, rule = candidates(30), ChoiceRule(trust=0.0, equality=0.0)
    gain = information_gain(given.belief, TRUST, Ties()).direction
    assert vote_probabilities(given, TRUST, Ties(), rule).argmax() == gain.argmax()


def test_open_leases_make_an_item_less_urgent() -> None:
    belief = Belief(np.zeros((2, 3)))
    given = Candidates(belief, np.array([3, 3]), np.array([0, 2]))
    p = vote_probabilities(given, TRUST, Ties(), ChoiceRule())
    assert p[0] > p[1] > 0.0


def test_items_without_their_first_votes_come_first() -> None:
    belief = Belief(np.array([[9.0, 0.0, 0.0], [0.0, 0.0, 0.0], [9.0, 0.0, 0.0]]))
    given = Candidates(belief, np.array([1, 2, 0]), np.zeros(3, dtype=np.int64))
    p = vote_probabilities(given, TRUST, Ties(), ChoiceRule(first_votes=2))
    assert np.argsort(-p).tolist() == [2, 0, 1]


def test_even_asks_for_the_fewest_votes() -> None:
    given = Candidates(Belief(np.zeros((3, 3))), np.array([4, 1, 2]), np.array([0, 0, 2]))
    p = vote_probabilities(given, TRUST, Ties(), ChoiceRule(strategy="even"))
    assert p.argmax() == 1


def test_reward_disagreement_is_worth_an_answer() -> None:
    given = replace(candidates(2), belief=Belief(np.zeros((2, 3))), reward=np.array([0.0, 0.5]))
    assert vote_probabilities(given, TRUST, Ties(), ChoiceRule()).argmax() == 1


def test_where_no_gold_is_left_a_vote_takes_its_place_and_says_so() -> None:
    rule = ChoiceRule(gold=0.9, repeat=0.0)
    choice = choose(candidates(1), NO_GOLD, NO_PAST, TRUST, Ties(), rule, np.random.default_rng(0))
    assert choice is not None and choice.purpose is Purpose.VOTE
    assert choice.propensity == pytest.approx(1.0)


def test_nobody_is_asked_nothing_but_gold() -> None:
    rule = ChoiceRule(gold=0.9, repeat=0.0)
    assert choose(candidates(0), GOLD, NO_PAST, TRUST, Ties(), rule, np.random.default_rng(0)) is None


def test_two_thousand_candidates_take_two_milliseconds() -> None:
    given = candidates(2000)

    def work() -> None:
        choose(given, GOLD, PAST, TRUST, Ties(), ChoiceRule(gold=0, repeat=0), np.random.default_rng(0))

    work()
    assert least_cpu_s(work, tries=5) <= 0.002


def test_rules_that_would_hide_items_are_refused() -> None:
    for wrong in (
        {"uniform": 0.0},
        {"temperature": 0.0},
        {"gold": 0.9, "repeat": 0.1},
        {"strategy": "best"},
        {"trust": -1.0},
    ):
        with pytest.raises(UsageError):
            replace(ChoiceRule(), **wrong)
