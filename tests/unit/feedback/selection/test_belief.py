import math

import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.feedback.selection.belief import (
    BOTH_BAD,
    EQUAL,
    FIRST,
    SECOND,
    SURE,
    TIE,
    Belief,
    Ties,
    Trust,
    prior_belief,
    reward_log_odds,
    uncertainty,
    vote_evidence,
    with_votes,
    without_votes,
)

TIES = Ties(prior=0.2, decided=0.1, equal=0.5)


def likelihood(answer: int, truth: int, x: float) -> float:
    """The answer model, written out case by case."""
    if truth == EQUAL:
        return TIES.equal if answer in (TIE, BOTH_BAD) else (1 - TIES.equal) / 2
    if answer in (TIE, BOTH_BAD):
        return TIES.decided
    return (1 - TIES.decided) * (x if answer == truth else 1 - x)


def test_the_posterior_is_bayes_with_accuracies_integrated_out_on_a_grid() -> None:
    answers, betas = [FIRST, FIRST, SECOND, TIE, BOTH_BAD], [(8.0, 2.0), (1.5, 1.0), (3.0, 1.0), (2.0, 2.0), (5.0, 1.0)]
    grid = (np.arange(20000) + 0.5) / 20000
    weight = [(1 - TIES.prior) * 0.7, (1 - TIES.prior) * 0.3, TIES.prior]
    for answer, (a, b) in zip(answers, betas, strict=True):
        density = grid ** (a - 1) * (1 - grid) ** (b - 1)
        for truth in range(3):
            by_x = [likelihood(answer, truth, 0.0), likelihood(answer, truth, 1.0)]
            weight[truth] *= float(density @ (by_x[0] + (by_x[1] - by_x[0]) * grid) / density.sum())
    trust = Trust(*np.array(betas).T)
    belief = with_votes(
        prior_belief(np.array([math.log(0.7 / 0.3)]), TIES),
        np.zeros(5, dtype=np.int64),
        vote_evidence(np.array(answers), trust, TIES),
    )
    assert belief.probability[0] == pytest.approx(np.array(weight) / sum(weight), abs=2e-6)


def test_a_rater_who_may_be_anything_tells_nothing_of_the_direction() -> None:
    evidence = vote_evidence(np.array([FIRST]), Trust(np.array([1.0]), np.array([1.0])), Ties.none())
    assert evidence[0, FIRST] == pytest.approx(evidence[0, SECOND])


def test_uncertain_trust_counts_less_than_the_likeliest_accuracy() -> None:
    trust = Trust(np.array([4.0]), np.array([2.0]))
    evidence = vote_evidence(np.array([FIRST]), trust, Ties.none())
    likeliest = 3.0 / 4.0  # the mode of Beta(4, 2)
    assert evidence[0, FIRST] - evidence[0, SECOND] == pytest.approx(math.log(2.0))
    assert math.log(2.0) < math.log(likeliest / (1 - likeliest))


def test_no_single_voice_is_certain() -> None:
    evidence = vote_evidence(np.array([FIRST]), Trust(np.array([1e6]), np.array([1.0])), Ties.none())
    assert evidence[0, FIRST] - evidence[0, SECOND] == pytest.approx(math.log(SURE / (1 - SURE)))


def test_both_bad_says_what_a_tie_says() -> None:
    trust = Trust(np.full(2, 3.0), np.full(2, 1.0))
    tie, both_bad = vote_evidence(np.array([TIE, BOTH_BAD]), trust, TIES)
    assert tie == pytest.approx(both_bad)
    assert tie[FIRST] == pytest.approx(tie[SECOND])
    assert tie[EQUAL] - tie[FIRST] == pytest.approx(math.log(5.0))


def test_half_a_vote_twice_is_a_vote() -> None:
    trust = Trust(np.full(1, 3.0), np.full(1, 1.0))
    half = vote_evidence(np.array([FIRST]), trust, TIES, np.array([0.5]))
    assert 2 * half == pytest.approx(vote_evidence(np.array([FIRST]), trust, TIES))


def test_taking_votes_back_restores_the_belief() -> None:
    before = prior_belief(np.array([0.3, -2.0, 0.0]), TIES)
    item = np.array([0, 2, 2])
    evidence = vote_evidence(np.array([FIRST, TIE, SECOND]), Trust(np.full(3, 4.0), np.full(3, 1.5)), TIES)
    after = without_votes(with_votes(before, item, evidence), item, evidence)
    assert after.log_weight == pytest.approx(before.log_weight)


def test_votes_on_nothing_change_nothing() -> None:
    before = prior_belief(np.zeros(2), TIES)
    none = np.zeros(0, dtype=np.int64)
    assert with_votes(before, none, np.zeros((0, 3))).log_weight == pytest.approx(before.log_weight)


def test_uncertainty_is_the_entropy() -> None:
    belief = Belief(np.log([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]]))
    assert uncertainty(belief) == pytest.approx([1.5 * math.log(2.0), math.log(3.0)])
    assert uncertainty(prior_belief(np.array([0.0, 60.0]), Ties.none())) == pytest.approx([math.log(2.0), 0.0])


def test_a_reward_prior_is_bradley_terry_integrated_over_its_spread() -> None:
    rng = np.random.default_rng(0)
    d = 1.2 + 1.5 * rng.standard_normal(2_000_000)
    p = np.mean(1 / (1 + np.exp(-d)))
    found = reward_log_odds(np.array([1.2, 1.2, -1.2]), np.array([1.5, 0.0, 1.5]))
    assert found[0] == pytest.approx(math.log(p / (1 - p)), abs=3e-3)
    assert found[1] == pytest.approx(1.2)
    assert found[2] == pytest.approx(-found[0])


def test_ties_where_none_can_be_are_refused() -> None:
    with pytest.raises(UsageError, match="a vote is a tie"):
        vote_evidence(np.array([TIE]), Trust(np.ones(1), np.ones(1)), Ties.none())
    with pytest.raises(UsageError, match=r"ties.equal is 1.0"):
        Ties(equal=1.0)
    with pytest.raises(UsageError, match="never answered"):
        Ties(prior=0.1, decided=0.0, equal=0.5)
