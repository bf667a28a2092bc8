"""Raters who act as one: a bloc that shares its answers, found from co-votes and counted as about one voice.

Model: a bloc's members, each with a membership mu, copy one shared answer of an item with probability rho and else vote
for themselves. For two votes on an item, with x = whether they agree and P = their joint probability under
independence (truth judged without the two, both raters taken to be good where that explains more):

    log-likelihood ratio = log[(rho / 2 + (1 - rho) P) / P] if they agree, log[1 - rho] if not.

Agreement on the right answer is what good raters do and speaks for nobody's collusion; agreement on an unlikely answer
does. mu and rho are found by mean-field variational inference from the leading eigenvectors of the residual
agreement. docs/aggregate/blocs.md.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import eigsh
from scipy.special import xlogy

from backstay.aggregate.columns import Index, VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.kernels import CELLS, Rules, State, accuracies, sigmoid
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.votes import Floats, Ints, tally

MAX_VOTERS = 50
"""Votes of one item beyond which no more are compared; bounds the quadratic cost."""

GOOD = 0.75
"""Accuracy that two raters are granted where it explains their votes better than their own."""

SKILL_CAP = 0.9
"""Accuracy taken at most in predicting agreement: a bloc that has won looks perfect, and must not explain itself."""

TRUTH_CAP = 3.9
"""Bound of the log-odds of the truth that agreement is judged by."""

STARTS = 3
WARM_UP = 3
"""Steps in which only rho is fitted, to the memberships of the start."""

FIRST_COPYING = 0.8
"""rho that the search starts from."""

STEPS = 40
LEAST_COPYING = 0.15
"""rho below which nothing is called a bloc."""

DENSE_RATERS = 64
REGULARISER = 2.0


@dataclass(frozen=True)
class Bloc:
    """Raters who act as one.

    `membership` (R) within 0 and 1; `copying`, the share of their common votes that is copied; `gain`, the
    log-likelihood ratio over independence; `agreement` and `expected`, observed and predicted, among members.
    """

    membership: Floats
    copying: float
    gain: float
    agreement: float
    expected: float

    @property
    def size(self) -> int:
        """Raters more likely in than out."""
        return int(np.sum(self.membership > 0.5))


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


def find_blocs(
    columns: VoteColumns, state: State, cells: Floats, rules: Rules, settings: AggregateSettings
) -> tuple[Bloc, ...]:
    """The blocs that the votes show, strongest first, at most `max_blocs`."""
    pairs = co_votes(columns, state, cells, rules, settings.max_co_votes)
    found: list[Bloc] = []
    while len(found) < settings.max_blocs and pairs.u.size:
        bloc = strongest_bloc(pairs, columns.n_raters)
        if bloc is None:
            break
        found.append(bloc)
        pairs = _without(pairs, bloc)
    return tuple(found)


def _without(pairs: CoVotes, bloc: Bloc) -> CoVotes:
    """The co-votes that the bloc does not explain: those of two members are taken out."""
    kept = bloc.membership[pairs.u] * bloc.membership[pairs.v] < 0.25
    return CoVotes(pairs.u[kept], pairs.v[kept], pairs.same[kept], pairs.joint[kept], pairs.expected[kept])


def bloc_weights(columns: VoteColumns, blocs: tuple[Bloc, ...]) -> Floats:
    """Weight (N) 1 / (1 + sum over same-side co-voters of rho mu mu'): m perfect copies count as one vote."""
    load = np.zeros(columns.n_votes)
    for bloc in blocs:
        add_load(columns, bloc.membership, bloc.copying, load)
    weight: Floats = 1.0 / (1.0 + load)
    return weight


def co_votes(columns: VoteColumns, state: State, cells: Floats, rules: Rules, limit: int) -> CoVotes:
    """Pairs of directional votes on an item with their probabilities; above `limit`, those of evenly drawn items."""
    per_item = co_vote_counts(columns)
    total = int(per_item.sum())
    chosen = np.arange(columns.n_items)
    if total > limit:
        chosen = chosen[np.linspace(0, chosen.size - 1, int(chosen.size * limit / total)).astype(np.int64)]
        total = int(per_item[chosen].sum())
    pairs = CoVotes(
        np.empty(total, dtype=np.int32), np.empty(total, dtype=np.int32), np.empty(total, dtype=np.bool_),
        np.empty(total), np.empty(total),
    )  # fmt: skip
    write_co_votes(chosen, columns, state, cells, rules, pairs)
    return pairs


def strongest_bloc(pairs: CoVotes, n_raters: int) -> Bloc | None:
    """The bloc with the largest gain over the starts; None when none is worth its members."""
    best: tuple[float, Floats, float] | None = None
    for start in spectral_starts(pairs, n_raters):
        membership = start.copy()
        copying, gain = mean_field(pairs.u, pairs.v, pairs.same, pairs.joint, membership, STEPS)
        worth = gain + _membership_cost(membership)
        if copying >= LEAST_COPYING and worth > 0.0 and (best is None or gain > best[0]):
            best = gain, membership, copying
    if best is None or int(np.sum(best[1] > 0.5)) < 2:
        return None
    gain, membership, copying = best
    weight = membership[pairs.u] * membership[pairs.v]
    shared = max(float(weight.sum()), 1e-12)
    agreement, expected = float(weight @ pairs.same) / shared, float(weight @ pairs.expected) / shared
    return Bloc(membership, copying, gain, agreement, expected)


def _membership_cost(membership: Floats) -> float:
    """Negative divergence of the memberships from their mean: the price in nats of saying who is in."""
    share = float(np.clip(membership.mean(), 1e-9, 1.0 - 1e-9))
    cost = xlogy(membership, membership / share) + xlogy(1.0 - membership, (1.0 - membership) / (1.0 - share))
    return -float(np.sum(cost))


def spectral_starts(pairs: CoVotes, n_raters: int) -> list[Floats]:
    """Memberships from the leading eigenvectors of what two raters share: excess agreement, and log-likelihood ratio.

    Excess agreement pools weak signs over a large bloc; the ratio sees a few raters who agree on unlikely answers.
    """
    excess = pairs.same - pairs.expected
    copied = (0.5 * FIRST_COPYING + (1.0 - FIRST_COPYING) * pairs.joint) / pairs.joint
    ratio = np.log(np.where(pairs.same, copied, 1.0 - FIRST_COPYING))
    known = np.asarray(_symmetric(pairs, pairs.expected * (1.0 - pairs.expected), n_raters).sum(axis=1)).ravel()
    scale = diags_array(1.0 / np.sqrt(known + REGULARISER))
    starts: list[Floats] = []
    for value in (excess - excess.mean(), ratio):
        vectors = _leading(scale @ _symmetric(pairs, value, n_raters) @ scale)
        signed = vectors * np.where((vectors**3).sum(axis=0) < 0.0, -1.0, 1.0)
        starts += [np.ascontiguousarray(column) for column in np.where(signed * np.sqrt(n_raters) > 1.0, 0.95, 0.05).T]
    return starts


def _leading(matrix: csr_array) -> Floats:
    """The eigenvectors (R, STARTS) of the largest eigenvalues."""
    if matrix.shape[0] <= DENSE_RATERS:
        dense: Floats = np.linalg.eigh(matrix.toarray())[1][:, ::-1][:, :STARTS]
        return dense
    v0 = np.random.default_rng(0).normal(size=matrix.shape[0])
    values, vectors = eigsh(matrix, k=STARTS, which="LA", v0=v0, tol=1e-3)
    leading: Floats = vectors[:, np.argsort(-values)]
    return leading


def _symmetric(pairs: CoVotes, value: Floats, n_raters: int) -> csr_array:
    half = coo_array((value, (pairs.u, pairs.v)), shape=(n_raters, n_raters))
    return csr_array(half + half.T)


def gold_record(columns: VoteColumns, bloc: Bloc) -> tuple[float, float]:
    """Right and wrong votes of a bloc on gold items, weighted by membership."""
    known = (columns.gold[columns.item] != 0) & (columns.side != 0)
    agrees = (columns.side == columns.gold[columns.item]) & known
    weight = bloc.membership[columns.rater] * known
    group = agrees.astype(np.int64)
    wrong, right = tally(group, weight, 2)
    return float(right), float(wrong)


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
            _, first, second = accuracies(cells[r], none, state.population[state.group[r]], rules)
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
