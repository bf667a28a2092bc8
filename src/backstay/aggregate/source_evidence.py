"""What raters share as evidence: of a bloc against raters drawn at random, and of copied rationales by themselves.

docs/aggregate/blocs.md.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import poisson

from backstay.aggregate.multiplicity import holm
from backstay.aggregate.same_source import MOST_SHARERS, SameSource, Shared
from backstay.aggregate.votes import Floats, Ints

DRAWS = 199
"""Random sets of raters that a bloc is compared with."""

STRATA, LEAST_IN_STRATUM = 5, 20
"""Classes of raters by how much they judged, within which is drawn, and raters of each at least."""

LEAST_COPIES = 3
"""Copied rationales from which on two raters are linked."""

LEVEL = 0.01
"""Chance of a single false link among all pairs of raters."""


@dataclass(frozen=True)
class SignalTest:
    """Times that two members of a bloc share a value of `signal`, `expected` of as many raters drawn at random.

    `p_value`, (1 + sets drawn that share as much) / (1 + sets drawn); `p_corrected`, after Holm over the signals.
    """

    signal: str
    shared: int
    expected: float
    p_value: float
    p_corrected: float


def bloc_evidence(source: SameSource, members: Ints, seed: int) -> tuple[SignalTest, ...]:
    """What `members` share against random raters who judged as much; signals that no raters share are left out."""
    if not source.signals or members.size < 2:
        return ()
    drawn = random_sets(source.judged, members, seed)
    rows = []
    for name, shared in source.signals.items():
        seen = coincidences(shared, members, source.n_raters)
        chance = np.array([coincidences(shared, one, source.n_raters) for one in drawn])
        rows.append((name, seen, float(chance.mean()), float(1 + np.sum(chance >= seen)) / (1 + DRAWS)))
    corrected = holm(np.array([row[3] for row in rows]))
    return tuple(SignalTest(*row, float(p)) for row, p in zip(rows, corrected, strict=True))


def coincidences(shared: Shared, members: Ints, n_raters: int) -> int:
    """Pairs of members and values that both of the pair bear."""
    inside = np.zeros(n_raters, dtype=np.bool_)
    inside[members] = True
    count = np.bincount(shared.value[inside[shared.rater]])
    return int(np.sum(count * (count - 1) // 2))


def random_sets(judged: Ints, members: Ints, seed: int) -> list[Ints]:
    """`DRAWS` sets of as many raters as `members`, with as many from each class by judgments given (R).

    A bloc is seen sooner among raters who judge much, and those share more by chance too.
    """
    strata = int(np.clip(judged.size // LEAST_IN_STRATUM, 1, STRATA))
    place = np.empty(judged.size, dtype=np.int64)
    place[np.argsort(judged, kind="stable")] = np.arange(judged.size)
    stratum = place * strata // judged.size
    wanted = np.bincount(stratum[members], minlength=strata)
    pools = [np.flatnonzero(stratum == s) for s in range(strata)]
    rng = np.random.default_rng([seed, judged.size])
    return [
        np.concatenate([rng.choice(pool, n, replace=False) for pool, n in zip(pools, wanted.tolist(), strict=True)])
        for _ in range(DRAWS)
    ]


@dataclass(frozen=True)
class CopyGroup:
    """Raters who give the same rationales: how many `texts`, how often each pair of them `copies` in sum.

    `false_alarms` bounds the chance that texts given regardless of the rater would link any two raters as much.
    """

    raters: Ints
    texts: int
    copies: int
    false_alarms: float


def copy_groups(source: SameSource, explained: Ints) -> tuple[CopyGroup, ...]:
    """Raters linked by copied rationales, largest group first, but for groups half of which are `explained`: in a bloc.

    If texts went to judgments regardless of the rater, raters u and v, who gave shares f_u and f_v of the rationales,
    would repeat each other in text t, used n_t times, at most f_u f_v n_t (n_t - 1) times in expectation. They are
    linked where the Poisson chance of as many copies, times the number of pairs of raters, is at most `LEVEL`.
    """
    shared = source.signals.get("rationale")
    if shared is None:
        return ()
    u, v, copies = _copied(shared)
    bound = _chance_of(shared, source, u, v, copies)
    linked = (copies >= LEAST_COPIES) & (bound <= LEVEL)
    graph = coo_array((copies[linked], (u[linked], v[linked])), shape=(source.n_raters, source.n_raters))
    component = connected_components(graph, directed=False)[1]
    groups = []
    for label in np.unique(component[u[linked]]):
        raters, inside = np.flatnonzero(component == label), linked & (component[u] == label)
        if np.isin(raters, explained).mean() < 0.5:
            both = np.isin(shared.rater, raters)
            n_texts = int(np.sum(np.bincount(shared.value[both]) > 1))
            groups.append(CopyGroup(raters, n_texts, int(copies[inside].sum()), float(bound[inside].max())))
    return tuple(sorted(groups, key=lambda group: (-group.raters.size, group.raters[0])))


def _copied(shared: Shared) -> tuple[Ints, Ints, Ints]:
    """Pairs of raters with how often one repeats the other."""
    order = np.lexsort((shared.rater, shared.value))
    rater, value, uses = shared.rater[order], shared.value[order], shared.uses[order]
    width, keys, counts = int(rater.max(initial=0)) + 1, [], []
    for lag in range(1, min(MOST_SHARERS, rater.size)):
        place = np.flatnonzero(value[lag:] == value[:-lag])
        if not place.size:
            break
        keys.append(rater[place] * width + rater[place + lag])
        counts.append(np.minimum(uses[place], uses[place + lag]))
    pair, number = np.unique(np.concatenate(keys), return_inverse=True)
    copies = np.bincount(number, np.concatenate(counts)).astype(np.int64)
    return pair // width, pair % width, copies


def _chance_of(shared: Shared, source: SameSource, u: Ints, v: Ints, copies: Ints) -> Floats:
    used = np.bincount(shared.value, shared.uses)
    share = source.reasoned / source.reasoned.sum()
    expected = share[u] * share[v] * float(np.sum(used * (used - 1.0)))
    pairs = source.n_raters * (source.n_raters - 1) / 2.0
    bound: Floats = np.minimum(pairs * poisson.sf(copies - 1, expected), 1.0)
    return bound
