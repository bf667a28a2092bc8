"""Passes of rater reliability over sorted columns: counts, evidence and beliefs, each vote left out of its own judge.

A rater's counts are kept in six cells: said first | first is better, said second | first is better, said first |
second is better, said second | second is better; and, where the order shown is unknown, right and wrong.
"""

import math
from typing import NamedTuple

import numpy as np

from backstay.aggregate.columns import Index, VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.votes import Floats

CELLS = 6
SURE = 0.982
"""Bound of a rater's probability of being right: no single voice decides alone."""


class Rules(NamedTuple):
    """Numbers of the model; see `AggregateSettings`."""

    position_votes: float
    assumed_accuracy: float
    gold_confidence: float
    gold_weight: float
    ignore_liars: bool


@compiled
def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), safe for any x."""
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


@compiled
def add_vote(cells: Floats, side: int, shown: int, p_a: float, weight: float) -> None:
    """Add to one rater's six cells a vote on an item whose first response is better with probability `p_a`."""
    if shown == 0:
        right = p_a if side > 0 else 1.0 - p_a
        cells[4] += weight * right
        cells[5] += weight * (1.0 - right)
        return
    p_first = p_a if shown > 0 else 1.0 - p_a
    said = 0 if side * shown > 0 else 1
    cells[said] += weight * p_first
    cells[2 + said] += weight * (1.0 - p_first)


@compiled
def accuracies(cells: Floats, own: Floats, population: Floats, rules: Rules) -> tuple[float, float, float]:
    """Accuracy of a rater without its `own` part of the cells: overall, where the first is better, where the second.

    Overall: the posterior mean under the population's Beta(right, wrong). Each order's: shrunk to the overall one by
    `position_votes` pseudo-votes; 0 takes both as the overall one. A rater of whom nothing is known has the assumed
    accuracy.
    """
    first_first, second_first = cells[0] - own[0], cells[1] - own[1]
    first_second, second_second = cells[2] - own[2], cells[3] - own[3]
    right = first_first + second_second + cells[4] - own[4]
    wrong = second_first + first_second + cells[5] - own[5]
    if cells[0] + cells[1] + cells[2] + cells[3] + cells[4] + cells[5] <= 0.0:
        return rules.assumed_accuracy, rules.assumed_accuracy, rules.assumed_accuracy
    overall = (right + population[0]) / (right + wrong + population[0] + population[1])
    overall = min(max(overall, 1.0 - SURE), SURE)
    position = rules.position_votes
    if position <= 0.0:
        return overall, overall, overall
    first = (first_first + position * overall) / (first_first + second_first + position)
    second = (second_second + position * overall) / (second_second + first_second + position)
    return overall, min(max(first, 1.0 - SURE), SURE), min(max(second, 1.0 - SURE), SURE)


@compiled
def evidence_of(side: int, shown: int, overall: float, first: float, second: float) -> float:
    """Log P(vote | a better) - log P(vote | b better) of a vote by a rater with these accuracies."""
    if shown == 0:
        return side * math.log(overall / (1.0 - overall))
    if side * shown > 0:
        return shown * math.log(first / (1.0 - second))
    return -shown * math.log(second / (1.0 - first))


class State(NamedTuple):
    """What the passes work on, in place.

    Of N votes: `belief`, the probability that a is better, judged without the vote (NaN = cannot be compared with
    anything); `evidence`, log-odds for a, weighted; `weight`, 1 for an independent vote. Of I items: `prior` from
    coupling, `log_odds`. Of R raters: `row`, which of the Beta priors `population` (rows, 2) is theirs.
    """

    belief: Floats
    evidence: Floats
    weight: Floats
    prior: Floats
    log_odds: Floats
    row: Index
    population: Floats


@compiled
def sweep(  # one loop, measured twice as fast as one that calls parts
    low: int, high: int, votes: VoteColumns, state: State, rules: Rules, cells: Floats, counted: Floats
) -> float:
    """One pass over items low..high; the largest change of an item's probability.

    Reads `cells` (R, 6) of the pass before, of which a vote's own part is known from its belief; renews evidence,
    log-odds and beliefs, and adds to `counted` (R, 6), which are the cells of the next pass.
    """
    # fields as locals and no call with all columns: handing these on, an item at a time, costs more than the sums do
    start, rater, side, shown, share, gold = votes.start, votes.rater, votes.side, votes.shown, votes.share, votes.gold
    belief, evidence, weight, log_odds = state.belief, state.evidence, state.weight, state.log_odds
    change = 0.0
    own = np.zeros(CELLS)
    for i in range(low, high):
        known = gold[i] != 0
        factor = rules.gold_weight if known else 1.0
        total = state.prior[i]
        voices = 0
        for j in range(start[i], start[i + 1]):
            evidence[j] = 0.0
            if side[j] == 0:
                continue
            voices += 1
            r = rater[j]
            own[:] = 0.0
            if not math.isnan(belief[j]):
                add_vote(own, side[j], shown[j], belief[j], share[j] * factor)
            overall, first, second = accuracies(cells[r], own, state.population[state.row[r]], rules)
            if rules.ignore_liars and overall < 0.5:
                continue
            told = evidence_of(side[j], shown[j], overall, first, second)
            evidence[j] = weight[j] * share[j] * told
            total += evidence[j]
        if not known:
            change = max(change, abs(sigmoid(total) - sigmoid(log_odds[i])))
        log_odds[i] = total
        for j in range(start[i], start[i + 1]):
            belief[j] = math.nan
            if side[j] == 0 or (voices < 2 and not known):
                continue
            if known:
                belief[j] = rules.gold_confidence if gold[i] > 0 else 1.0 - rules.gold_confidence
            else:
                belief[j] = sigmoid(total - evidence[j])
            add_vote(counted[rater[j]], side[j], shown[j], belief[j], share[j] * factor)
    return change


@compiled
def begin(low: int, high: int, votes: VoteColumns, state: State, rules: Rules, counted: Floats) -> None:
    """Beliefs to start from, gold or else the item's other votes as good as their population is, and their counts."""
    for i in range(low, high):
        total = 0.0
        for j in range(votes.start[i], votes.start[i + 1]):
            total += votes.side[j] * votes.share[j] * _pull(votes.rater[j], state)
        voices = directional(i, votes)
        for j in range(votes.start[i], votes.start[i + 1]):
            own = votes.side[j] * votes.share[j] * _pull(votes.rater[j], state)
            state.belief[j] = sigmoid(total - own)
            count(i, j, voices, votes, state, rules, counted)


@compiled
def _pull(rater: int, state: State) -> float:
    """Log-odds that the population of a rater gives its vote."""
    prior = state.population[state.row[rater]]
    return math.log(prior[0] / prior[1])


@compiled
def directional(i: int, votes: VoteColumns) -> int:
    """Votes of an item that are no tie."""
    voices = 0
    for j in range(votes.start[i], votes.start[i + 1]):
        voices += votes.side[j] != 0
    return voices


@compiled
def count(i: int, j: int, voices: int, votes: VoteColumns, state: State, rules: Rules, counted: Floats) -> None:
    """Settle the belief of vote j where gold is known or nothing is there to compare with, and count the vote."""
    factor = 1.0
    if votes.side[j] == 0 or (voices < 2 and votes.gold[i] == 0):
        state.belief[j] = math.nan
        return
    if votes.gold[i] != 0:
        state.belief[j] = rules.gold_confidence if votes.gold[i] > 0 else 1.0 - rules.gold_confidence
        factor = rules.gold_weight
    add_vote(counted[votes.rater[j]], votes.side[j], votes.shown[j], state.belief[j], votes.share[j] * factor)
