"""Raters who act as one: a bloc that shares its answers, found from co-votes and counted as about one voice.

Model: a bloc's members, each with a membership mu, copy one shared answer of an item with probability rho and else vote
for themselves. For two votes on an item, with x = whether they agree and P = their joint probability under
independence (truth judged without the two, both raters taken to be good where that explains more):

    log-likelihood ratio = log[(rho / 2 + (1 - rho) P) / P] if they agree, log[1 - rho] if not.

Agreement on the right answer is what good raters do and speaks for nobody's collusion; agreement on an unlikely answer
does. mu and rho are found by mean-field variational inference from the leading eigenvectors of the residual
agreement. docs/aggregate/blocs.md.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import eigsh
from scipy.special import xlogy

from backstay.aggregate.bloc_kernels import (
    FIRST_COPYING,
    LEAST_COPYING,
    CoVotes,
    add_load,
    co_vote_counts,
    mean_field,
    write_co_votes,
)
from backstay.aggregate.columns import Index, VoteColumns
from backstay.aggregate.kernels import Rules, State
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.votes import Floats, tally

STARTS = 3
STEPS = 40
DENSE_RATERS = 64
REGULARISER = 2.0


@dataclass(frozen=True)
class Bloc:
    """Raters who act as one.

    `membership` (R) within 0 and 1; `copying`, the share of their common votes that is copied; `gain`, the
    log-likelihood ratio over independence; `agreement` and `expected`, observed and predicted, among members; `size`,
    the raters more likely in than out.
    """

    membership: Floats
    copying: float
    gain: float
    agreement: float
    expected: float
    size: int


def find_blocs(
    columns: VoteColumns,
    state: State,
    cells: Floats,
    rules: Rules,
    settings: AggregateSettings,
    actor: Index,
    starts: tuple[Floats, ...] = (),
) -> tuple[Bloc, ...]:
    """The blocs that the votes show, strongest first, at most `max_blocs`; `starts` as in `strongest_bloc`.

    `actor` (V) names who acts in each voice, so that what raters share in all dimensions counts together.
    """
    pairs = co_votes(columns, state, cells, rules, settings.max_co_votes, actor)
    found: list[Bloc] = []
    while len(found) < settings.max_blocs and pairs.u.size:
        bloc = strongest_bloc(pairs, int(actor.max(initial=-1)) + 1, starts)
        if bloc is None:
            break
        found.append(bloc)
        pairs = _without(pairs, bloc)
    return tuple(replace(bloc, membership=bloc.membership[actor]) for bloc in found)


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


def co_votes(columns: VoteColumns, state: State, cells: Floats, rules: Rules, limit: int, actor: Index) -> CoVotes:
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
    return pairs._replace(u=actor[pairs.u], v=actor[pairs.v])


def strongest_bloc(pairs: CoVotes, n_raters: int, starts: tuple[Floats, ...] = ()) -> Bloc | None:
    """The bloc with the largest gain over the starts; None when none is worth its members.

    `starts` are memberships (R) to begin from besides those that the votes suggest; the votes decide all the same.
    """
    best: tuple[float, Floats, float] | None = None
    for start in (*spectral_starts(pairs, n_raters), *starts):
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
    return Bloc(membership, copying, gain, agreement, expected, int(np.sum(membership > 0.5)))


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
    if not matrix.count_nonzero():  # No two raters share an item yet; ARPACK refuses a matrix of zeros.
        return np.zeros((matrix.shape[0], STARTS))
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
