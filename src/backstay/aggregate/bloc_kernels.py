"""Passes over pairs of votes on one item: gathering them, memberships by mean field, and what copies weigh."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.columns import Index, VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.kernels import CELLS, Rules, State, accuracies, sigmoid
from backstay.aggregate.votes import Floats, Ints

MAX_VOTERS = 50
"""Votes of one item beyond which no more are compared; bounds the quadratic cost."""

GOOD = 0.75
"""Accuracy that two raters are granted where it explains their votes better than their own."""

SKILL_CAP = 0.9
"""Accuracy taken at most in predicting agreement: a bloc that has won looks perfect, and must not explain itself."""

TRUTH_CAP = 3.9
"""Bound of the log-odds of the truth that agreement is judged by."""

WARM_UP = 3
"""Steps in which only rho is fitted, to the memberships of the start."""

FIRST_COPYING = 0.8
"""rho that the search starts from."""

LEAST_COPYING = 0.15
"""rho below which nothing is called a bloc."""


class CoVotes(NamedTuple):
    """P pairs of directional votes on one item.

    `first` and `second` index votes, `u` and `v` are their raters; `same`, whether they agree; `joint`, probability of
    what the two said under independence; `expected`, probability that they agree.
    """

    u: Index
    v: Index
    same: NDArray[np.bool_]
    joint: Floats
    expected: Floats


@compiled
def co_vote_counts(votes: VoteColumns) -> Ints:
    """Pairs of directional votes on each of I items."""
    count = np.zeros(votes.start.size - 1, dtype=np.int64)
    for i in range(count.size):
        voices = 0
        for j in range(votes.start[i], votes.start[i + 1]):
            voices += votes.side[j] != 0
        voices = min(voices, MAX_VOTERS)
        count[i] = voices * (voices - 1) // 2
    return count


@compiled
def write_co_votes(chosen: Ints, votes: VoteColumns, state: State, cells: Floats, rules: Rules, pairs: CoVotes) -> None:
    """Fill `pairs` from the chosen items."""
    place = np.empty(MAX_VOTERS, dtype=np.int64)
    said_a = np.empty((MAX_VOTERS, 2))
    none = np.zeros(CELLS)
    k = 0
    for i in chosen:
        voices = 0
        for j in range(votes.start[i], votes.start[i + 1]):
            if votes.side[j] == 0 or voices == MAX_VOTERS:
                continue
            r = votes.rater[j]
            _, first, second = accuracies(cells[r], none, state.population[state.row[r]], rules)
            first = min(max(first, 1.0 - SKILL_CAP), SKILL_CAP)
            second = min(max(second, 1.0 - SKILL_CAP), SKILL_CAP)
            place[voices] = j
            said_a[voices, 0] = first if votes.shown[j] >= 0 else second
            said_a[voices, 1] = 1.0 - (second if votes.shown[j] >= 0 else first)
            voices += 1
        for y in range(1, voices):
            for x in range(y):
                one, other = place[x], place[y]
                truth = state.log_odds[i] - state.evidence[one] - state.evidence[other]
                if votes.gold[i] != 0:
                    truth = TRUTH_CAP * votes.gold[i]
                q = sigmoid(min(max(truth, -TRUTH_CAP), TRUTH_CAP))
                pairs.u[k], pairs.v[k] = votes.rater[one], votes.rater[other]
                pairs.same[k] = votes.side[one] == votes.side[other]
                agree, joint, good = 0.0, 0.0, 0.0
                for z in range(2):
                    weight = q if z == 0 else 1.0 - q
                    p, r_ = said_a[x, z], said_a[y, z]
                    agree += weight * (p * r_ + (1.0 - p) * (1.0 - r_))
                    joint += weight * _said(p, votes.side[one]) * _said(r_, votes.side[other])
                    able = GOOD if z == 0 else 1.0 - GOOD
                    good += weight * _said(able, votes.side[one]) * _said(able, votes.side[other])
                pairs.expected[k] = agree
                pairs.joint[k] = min(max(joint, good, 0.005), 0.995)
                k += 1


@compiled
def _said(p: float, side: int) -> float:
    """Probability of a vote for `side` where that for a has probability p."""
    return p if side > 0 else 1.0 - p


@compiled
def mean_field(
    u: Index, v: Index, same: NDArray[np.bool_], joint: Floats, membership: Floats, steps: int
) -> tuple[float, float]:
    """Renew `membership` (R) in place by damped mean-field steps; rho, and the gain in nats over independence."""
    copying, moved, gain = FIRST_COPYING, 1.0, 0.0
    total = np.empty(membership.size)
    for step in range(steps):
        copied, weight, gain = 0.0, 0.0, 0.0
        for k in range(u.size):
            together = membership[u[k]] * membership[v[k]]
            weight += together
            gain += together * _ratio(same[k], joint[k], copying)
            if same[k]:
                copied += together * 0.5 * copying / (0.5 * copying + (1.0 - copying) * joint[k])
        if weight < 1.0:
            return 0.0, 0.0
        copying = min(max(copied / weight, 0.05), 0.98)
        if moved < 1e-3 or copying < 0.5 * LEAST_COPYING:
            break
        if step < WARM_UP:
            continue
        share = min(max(membership.mean(), 0.005), 0.6)
        total[:] = math.log(share / (1.0 - share))
        for k in range(u.size):
            ratio = _ratio(same[k], joint[k], copying)
            total[u[k]] += membership[v[k]] * ratio
            total[v[k]] += membership[u[k]] * ratio
        moved = 0.0
        for r in range(membership.size):
            new = 0.5 * (membership[r] + sigmoid(total[r]))
            moved = max(moved, abs(new - membership[r]))
            membership[r] = new
    return copying, gain


@compiled
def _ratio(same: bool, joint: float, copying: float) -> float:
    if same:
        return math.log((0.5 * copying + (1.0 - copying) * joint) / joint)
    return math.log(1.0 - copying + 1e-3)


@compiled
def add_load(votes: VoteColumns, membership: Floats, copying: float, load: Floats) -> None:
    """Add to each vote rho mu times the memberships of its item's other voters for the same side."""
    for i in range(votes.start.size - 1):
        for_a, for_b = 0.0, 0.0
        for j in range(votes.start[i], votes.start[i + 1]):
            if votes.side[j] > 0:
                for_a += membership[votes.rater[j]]
            elif votes.side[j] < 0:
                for_b += membership[votes.rater[j]]
        for j in range(votes.start[i], votes.start[i + 1]):
            own = membership[votes.rater[j]]
            if votes.side[j] > 0:
                load[j] += copying * own * (for_a - own)
            elif votes.side[j] < 0:
                load[j] += copying * own * (for_b - own)
