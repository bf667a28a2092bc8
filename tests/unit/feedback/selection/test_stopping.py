import math
from dataclasses import replace

import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.feedback.selection.belief import FIRST, SECOND, TIE, Ties, Trust, prior_belief, vote_evidence
from backstay.feedback.selection.stopping import Ballots, StoppingRule, is_certain, is_done, support

RULE = StoppingRule(certainty=0.9, least=2, most=5, independent=2)


def ballots(votes: list[tuple[int, int, int, float]], ties: Ties) -> Ballots:
    """Votes as (item, voice, answer, right of Beta(right, 1))."""
    item, voice, answer, right = (np.array(column) for column in zip(*votes, strict=True))
    return Ballots(item, voice, vote_evidence(answer, Trust(right.astype(float), np.ones(len(votes))), ties))


def by_loops(prior: np.ndarray, given: Ballots, rule: StoppingRule) -> list[tuple[float, int]]:
    """Capped certainty and supporting voices, one item at a time."""
    found = []
    for i in range(prior.shape[0]):
        voices: dict[int, np.ndarray] = {}
        for j in np.flatnonzero(given.item == i):
            voices[int(given.voice[j])] = voices.get(int(given.voice[j]), np.zeros(3)) + given.evidence[j]
        lead = int(np.argmax(prior[i] + sum(voices.values(), np.zeros(3))))
        rivals = 0.0
        for y in range(3):
            if y == lead or prior[i, y] == -math.inf:
                continue
            kept = min(prior[i, lead] - prior[i, y], rule.cap)
            kept += sum(min(v[lead] - v[y], rule.cap) for v in voices.values())
            rivals += math.exp(-kept)
        speak = sum(all(v[lead] > v[y] for y in range(3) if y != lead) for v in voices.values())
        found.append((1 / (1 + rivals), speak))
    return found


@pytest.mark.parametrize("ties", [Ties(), Ties.none()])
def test_support_is_that_of_a_plain_loop(ties: Ties) -> None:
    rng = np.random.default_rng(3)
    answers = [FIRST, SECOND, TIE] if ties.prior else [FIRST, SECOND]
    votes = [
        (int(rng.integers(12)), int(rng.integers(4)), int(rng.choice(answers)), float(rng.uniform(1, 9)))
        for _ in range(60)
    ]
    prior, given = prior_belief(rng.normal(size=12), ties), ballots(votes, ties)
    found = support(prior, given, RULE)
    expected = by_loops(prior.log_weight, given, RULE)
    assert found.certainty == pytest.approx([row[0] for row in expected])
    assert found.voices.tolist() == [row[1] for row in expected]


def test_one_voice_is_never_enough_however_often_and_surely_it_speaks() -> None:
    votes = [(0, 7, FIRST, 1000.0)] * 4
    found = support(prior_belief(np.array([50.0]), Ties.none()), ballots(votes, Ties.none()), RULE)
    assert not is_certain(found, RULE)[0]


def test_two_voices_of_enough_trust_are_certain_and_two_of_less_are_not() -> None:
    for right, certain in [(3.01, True), (2.9, False)]:  # two voices of odds 3 make odds 9, which is 0.9
        votes = [(0, 1, FIRST, right), (0, 2, FIRST, right)]
        found = support(prior_belief(np.zeros(1), Ties.none()), ballots(votes, Ties.none()), RULE)
        # the cap is odds of 3 a voice
        assert is_certain(found, StoppingRule(0.8999, 2, 5, 2))[0] == certain


def test_a_cohort_counts_as_one_voice() -> None:
    ties, prior = Ties.none(), prior_belief(np.zeros(1), Ties.none())
    apart = ballots([(0, v, FIRST, 9.0) for v in (1, 2, 3)], ties)
    together = ballots([(0, 1, FIRST, 9.0)] * 3, ties)
    assert is_certain(support(prior, apart, RULE), RULE)[0]
    assert not is_certain(support(prior, together, RULE), RULE)[0]


def test_dissent_is_not_capped() -> None:
    prior = prior_belief(np.zeros(1), Ties.none())
    three = [(0, v, FIRST, 9.0) for v in (1, 2, 3)]
    against = ballots([*three, (0, 4, SECOND, 9.0)], Ties.none())
    log_odds = 3 * RULE.cap - math.log(9.0)
    assert support(prior, against, RULE).certainty[0] == pytest.approx(1 / (1 + math.exp(-log_odds)))


def test_an_item_nobody_voted_on_is_open_and_one_with_most_votes_is_done() -> None:
    votes = [(1, v, FIRST if v % 2 else SECOND, 3.0) for v in range(5)]
    found = support(prior_belief(np.zeros(2), Ties.none()), ballots(votes, Ties.none()), RULE)
    assert is_done(found, RULE).tolist() == [False, True]
    assert not is_certain(found, RULE).any()
    empty = Ballots(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3)))
    assert not is_done(support(prior_belief(np.zeros(2), Ties()), empty, RULE), RULE).any()


def test_a_rule_that_contradicts_itself_is_refused() -> None:
    for wrong in ({"certainty": 1.0}, {"least": 8}, {"independent": 0}):
        with pytest.raises(UsageError):
            replace(RULE, **wrong)
