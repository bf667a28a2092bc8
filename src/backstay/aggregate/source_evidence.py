"""What raters share as evidence: of a bloc against raters drawn at random, and of copied rationales by themselves.

docs/aggregate/blocs.md.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import poisson

from backstay.aggregate.multiplicity import holm
from backstay.aggregate.same_source import SameSource, Shared
from backstay.aggregate.votes import Floats, Ints

DRAWS = 199
"""Random sets of raters that a bloc is compared with."""

STRATA, LEAST_IN_STRATUM = 5, 20
"""Classes of raters by how much they judged, within which is drawn, and raters of each at least."""

MOST_COMPARED = 20
"""Raters of one text, next in order, with whom each is compared; enough to join a group of any size."""

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


def copy_groups(source: SameSource) -> tuple[CopyGroup, ...]:
    """Raters linked by copied rationales, largest group first.

    Two raters are linked who repeat each other `LEAST_COPIES` times and more than `LEVEL` allows by chance.
    """
    shared = source.signals.get("rationale")
    if shared is None or not shared.unusual(source.n_raters).any():
        return ()
    shared = Shared(*(column[shared.unusual(source.n_raters)] for column in shared))
    pairs = _copied(shared, source)
    linked = (pairs.copies >= LEAST_COPIES) & (pairs.bound <= LEVEL)
    u, v, copies, bound = (column[linked] for column in pairs)
    graph = coo_array((copies, (u, v)), shape=(source.n_raters, source.n_raters))
    component = connected_components(graph, directed=False)[1]
    groups = []
    for label in np.unique(component[u]):
        raters, inside = np.flatnonzero(component == label), component[u] == label
        texts = int(np.sum(np.bincount(shared.value[np.isin(shared.rater, raters)]) > 1))
        groups.append(CopyGroup(raters, texts, int(copies[inside].sum()), float(bound[inside].max())))
    return tuple(sorted(groups, key=lambda group: (-group.raters.size, group.raters[0])))


def unexplained(groups: tuple[CopyGroup, ...], members: Ints) -> tuple[CopyGroup, ...]:
    """The groups of which fewer than half are `members` of a bloc."""
    return tuple(group for group in groups if np.isin(group.raters, members).mean() < 0.5)


class _Copied(NamedTuple):
    """Pairs of raters, how often one repeats the other, and the bound on the chance that any pair does as much."""

    u: Ints
    v: Ints
    copies: Ints
    bound: Floats


def _copied(shared: Shared, source: SameSource) -> _Copied:
    """Pairs of raters with a text in common, each rater compared with the next few of each text.

    By chance: texts go to judgments regardless of the rater. Of raters u and v, who gave shares f_u and f_v of all
    rationales, each has about Poisson(n_t f_u) of the n_t uses of text t, and the texts that both use are at most
    f_u f_v sum n_t (n_t - 1) in expectation. Two tests: many common texts, or one text used much by both; Bonferroni
    over both, all pairs, and texts.
    """
    order = np.lexsort((shared.rater, shared.value))
    rater, value, uses = shared.rater[order], shared.value[order], shared.uses[order]
    used, share = np.bincount(value, uses), source.reasoned / source.reasoned.sum()
    tail = poisson.sf(uses - 1, used[value] * share[rater])
    width, keys, counts, tails = source.n_raters, [], [], []
    for lag in range(1, min(MOST_COMPARED, rater.size - 1) + 1):
        place = np.flatnonzero(value[lag:] == value[:-lag])
        keys.append(rater[place] * width + rater[place + lag])
        counts.append(np.minimum(uses[place], uses[place + lag]))
        tails.append(tail[place] * tail[place + lag])
    pair, number, texts = np.unique(np.concatenate(keys), return_inverse=True, return_counts=True)
    copies = np.bincount(number, np.concatenate(counts)).astype(np.int64)
    u, v = np.divmod(pair, width)
    one = np.ones(pair.size)
    np.minimum.at(one, number, np.concatenate(tails))
    many = poisson.sf(texts - 1, share[u] * share[v] * float(np.sum(used * (used - 1.0))))
    tested = width * (width - 1.0)
    return _Copied(u, v, copies, np.minimum(tested * np.minimum(many, one * np.unique(value).size), 1.0))
