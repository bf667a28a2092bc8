"""Raters who agree beyond what their accuracies explain, and how much less they then count."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from backstay.aggregate.votes import Floats, Ints, tally

MAX_VOTERS = 200
"""Votes of one item beyond which only the first so many are compared; bounds the quadratic cost."""

SKILL_CAP = float(np.log(0.9 / 0.1))
"""Skill taken at most in predicting agreement: a bloc that has won looks perfect, and must not explain itself."""

PRIOR_VARIANCE = 1.0
"""Added to the variance of a pair of raters, so that one shared item proves little."""


@dataclass(frozen=True)
class CoVotes:
    """P pairs of directional votes on one item: `first`, `second` index votes; `u` < `v` are their raters."""

    first: Ints
    second: Ints
    u: Ints
    v: Ints


@dataclass(frozen=True)
class CoAgreement:
    """E pairs of raters that share items: excess agreement, its variance under independence, and shared items."""

    u: Ints
    v: Ints
    excess: Floats
    variance: Floats
    shared: Floats
    edge_of_pair: Ints

    @property
    def z(self) -> Floats:
        """Excess agreement in standard errors."""
        return self.excess / np.sqrt(np.maximum(self.variance, 1e-12))


def co_votes(item: Ints, rater: Ints, side: Floats) -> CoVotes:
    """All pairs of directional votes on the same item, from votes sorted by item."""
    votes = np.flatnonzero(side != 0.0)
    start = np.flatnonzero(np.diff(item[votes], prepend=-1))
    length = np.diff(np.append(start, votes.size))
    place = np.arange(votes.size) - np.repeat(start, length)
    later = np.minimum(np.repeat(length, length), MAX_VOTERS) - 1 - place
    later = np.maximum(later, 0)
    first = np.repeat(np.arange(votes.size), later)
    offset = np.arange(first.size) - np.repeat(np.cumsum(later) - later, later)
    one, other = votes[first], votes[first + 1 + offset]
    return CoVotes(one, other, np.minimum(rater[one], rater[other]), np.maximum(rater[one], rater[other]))


def predicted_agreement(
    pairs: CoVotes, log_odds: Floats, evidence: Floats, item: Ints, shown: Floats, skill: Floats, bias: Floats
) -> Floats:
    """Probability that two votes agree, with the truth judged by the item's other votes only.

    `skill` and `bias` are per vote. sum_z q(z) [p_u(z) p_v(z) + (1 - p_u(z)) (1 - p_v(z))].
    """
    truth = expit(log_odds[item[pairs.first]] - evidence[pairs.first] - evidence[pairs.second])
    capped = np.clip(skill, -SKILL_CAP, SKILL_CAP)
    agreement: Floats = np.zeros(truth.size)
    for z, q in ((1.0, truth), (-1.0, 1.0 - truth)):
        for_a = expit(z * capped + shown * bias)
        p, r = for_a[pairs.first], for_a[pairs.second]
        agreement += q * (p * r + (1.0 - p) * (1.0 - r))
    return agreement


def co_agreement(pairs: CoVotes, side: Floats, predicted: Floats, n_raters: int) -> CoAgreement:
    """Sum observed minus predicted agreement over the items that each two raters share."""
    agree = (side[pairs.first] == side[pairs.second]).astype(np.float64)
    edges, edge_of_pair = np.unique(pairs.u * n_raters + pairs.v, return_inverse=True)
    return CoAgreement(
        u=edges // n_raters,
        v=edges % n_raters,
        excess=tally(edge_of_pair, agree - predicted, edges.size),
        variance=tally(edge_of_pair, predicted * (1.0 - predicted), edges.size),
        shared=np.bincount(edge_of_pair, minlength=edges.size).astype(np.float64),
        edge_of_pair=edge_of_pair,
    )


def residual_correlation(found: CoAgreement, forgiven_z: float) -> Floats:
    """Lower bound of the share of votes that two raters cast as one: (S - z sqrt V) / (V + 1) within 0 and 1."""
    lower = found.excess - forgiven_z * np.sqrt(found.variance)
    bounded: Floats = np.clip(lower / (found.variance + PRIOR_VARIANCE), 0.0, 1.0)
    return bounded


def design_effect_weights(pairs: CoVotes, side: Floats, correlation: Floats, found: CoAgreement) -> Floats:
    """Weight 1 / (1 + sum of correlations with same-side voters on the item): m copies count as one vote."""
    same = side[pairs.first] == side[pairs.second]
    rho = np.where(same, correlation[found.edge_of_pair], 0.0)
    load = tally(pairs.first, rho, side.size) + tally(pairs.second, rho, side.size)
    weights: Floats = 1.0 / (1.0 + load)
    return weights


def flagged_edges(found: CoAgreement, flag_z: float) -> NDArray[np.bool_]:
    """Pairs above both `flag_z` and the largest z expected among so many pairs by chance, sharing at least 5 items."""
    chance = float(np.sqrt(2.0 * np.log(max(found.u.size, 2))))
    flagged: NDArray[np.bool_] = (found.z > max(flag_z, chance)) & (found.shared >= 5)
    return flagged


def blocs(found: CoAgreement, flag_z: float, n_raters: int) -> tuple[Ints, Floats]:
    """For each of R raters: the number of others in its bloc (0 = none) and its largest z among flagged pairs."""
    flagged = flagged_edges(found, flag_z)
    u, v, z = found.u[flagged], found.v[flagged], found.z[flagged]
    graph = csr_array(coo_array((np.ones(u.size), (u, v)), shape=(n_raters, n_raters)))
    _, label = connected_components(graph, directed=False)
    others = np.bincount(label, minlength=n_raters)[label] - 1
    strongest = np.zeros(n_raters)
    np.maximum.at(strongest, u, z)
    np.maximum.at(strongest, v, z)
    return others.astype(np.int64), strongest
