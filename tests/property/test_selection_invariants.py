"""Invariants of assignment: order is no matter, taking back inverts, information is at least 0, chances sum to 1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.feedback.selection.belief import (
    Belief,
    Ties,
    Trust,
    prior_belief,
    vote_evidence,
    with_votes,
    without_votes,
)
from backstay.feedback.selection.choose import Candidates, ChoiceRule, vote_probabilities
from backstay.feedback.selection.gold import gold_weights, leak_test
from backstay.feedback.selection.information import ensemble_gain, information_gain
from backstay.feedback.selection.stopping import Ballots, StoppingRule, support

pytestmark = pytest.mark.property

SIZE = 5
votes = st.lists(
    st.tuples(st.integers(0, SIZE - 1), st.integers(0, 3), st.floats(0.05, 200.0), st.floats(0.05, 200.0)), max_size=12
)
ties = st.builds(Ties, st.floats(0.0, 0.9), st.floats(0.01, 0.9), st.floats(0.01, 0.9))
log_odds = st.lists(st.floats(-20.0, 20.0), min_size=SIZE, max_size=SIZE).map(np.array)


def unpacked(rows: list[tuple[int, int, float, float]], model: Ties) -> tuple[np.ndarray, np.ndarray]:
    item, answer, right, wrong = (
        np.array(column) for column in (zip(*rows, strict=True) if rows else ([], [], [], []))
    )
    trust = Trust(right.astype(float), wrong.astype(float))
    return item.astype(np.int64), vote_evidence(answer.astype(np.int64), trust, model)


@given(votes, ties, log_odds, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_does_not_matter_and_taking_back_inverts(rows, model, prior, shuffler) -> None:  # type: ignore[no-untyped-def]  # hypothesis gives the types
    before = prior_belief(prior, model)
    item, evidence = unpacked(rows, model)
    at_once = with_votes(before, item, evidence)
    shuffled = rows.copy()
    shuffler.shuffle(shuffled)
    one_by_one = before
    for row in shuffled:
        one_by_one = with_votes(one_by_one, *unpacked([row], model))
    assert one_by_one.probability == pytest.approx(at_once.probability, abs=1e-9)
    assert at_once.probability.sum(axis=1) == pytest.approx(np.ones(SIZE))
    assert without_votes(at_once, item, evidence).probability == pytest.approx(before.probability, abs=1e-9)


@given(log_odds, log_odds, ties, st.floats(0.05, 500.0), st.floats(0.05, 500.0))
@settings(max_examples=100, deadline=None)
def test_information_is_never_negative_nor_more_than_the_answer_holds(first, second, model, right, wrong) -> None:  # type: ignore[no-untyped-def]  # as above
    belief = Belief(np.stack([first, second, np.zeros(SIZE)], axis=1))
    gain = information_gain(belief, Trust(np.array(right), np.array(wrong)), model)
    for part in (gain.direction, gain.equality, gain.trust):
        assert part.min() >= 0.0
    assert (gain.direction + gain.equality + gain.trust).max() <= np.log(3.0) + 1e-9
    assert ensemble_gain(np.stack([first, second]), Trust(np.array(right), np.array(wrong))).min() >= 0.0


@given(log_odds, st.lists(st.integers(0, 9), min_size=SIZE, max_size=SIZE), st.floats(0.01, 1.0), st.floats(1e-3, 5.0))
@settings(max_examples=60, deadline=None)
def test_every_candidate_can_be_chosen(first, counts, uniform, temperature) -> None:  # type: ignore[no-untyped-def]  # as above
    belief = Belief(np.stack([first, -first, np.zeros(SIZE)], axis=1))
    given_ = Candidates(belief, np.array(counts), np.array(counts[::-1]))
    rule = ChoiceRule(uniform=uniform, temperature=temperature)
    p = vote_probabilities(given_, Trust(np.array(3.0), np.array(1.0)), Ties(), rule)
    assert p.sum() == pytest.approx(1.0)
    assert p.min() >= uniform / SIZE * (1 - 1e-12)


@given(votes, ties, st.integers(2, 4), st.floats(0.6, 0.999))
@settings(max_examples=80, deadline=None)
def test_certainty_takes_the_wanted_number_of_voices(rows, model, independent, certainty) -> None:  # type: ignore[no-untyped-def]  # as above
    rule = StoppingRule(certainty, least=1, most=50, independent=independent)
    item, evidence = unpacked(rows, model)
    voice = np.arange(item.size) % (independent - 1)  # one voice too few
    found = support(prior_belief(np.zeros(SIZE), model), Ballots(item, voice, evidence), rule)
    assert found.voices.max(initial=0) < independent
    assert found.certainty.min() >= 0.0 and found.certainty.max() <= 1.0


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans()), max_size=8), st.integers(1, 9))
def test_gold_is_shown_to_nobody_twice_nor_beyond_its_cap(rows, cap) -> None:  # type: ignore[no-untyped-def]  # as above
    exposure, seen, retired = (np.array([row[i] for row in rows], dtype=t) for i, t in ((0, int), (1, bool), (2, bool)))
    weights = gold_weights(exposure, seen, retired, cap)
    assert weights.sum() == pytest.approx(1.0 if np.any(~seen & ~retired & (exposure < cap)) else 0.0)
    assert not np.any((weights > 0) & (seen | retired | (exposure >= cap)))


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=20))
def test_a_leak_test_gives_a_probability(rows) -> None:  # type: ignore[no-untyped-def]  # as above
    right, accuracy, late = (np.array([row[i] for row in rows]) for i in range(3))
    found = leak_test(right, accuracy.astype(float), late)
    assert 0.0 < found.p_value <= 1.0
    assert 0.0 <= found.expected <= found.late
