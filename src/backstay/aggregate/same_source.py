"""Raters who may be one source: the same rationale text, an unusual client, the same pair judged at the same time.

None of this is proof: an office shares a client, a guideline its phrases. So what raters share only tells the search
for blocs where to begin, and the votes decide; for a bloc that was found it is evidence (`source_evidence`).
docs/aggregate/blocs.md.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from backstay.aggregate.votes import Floats, Ints, Votes

NEAR_S = 5.0
"""Seconds within which two judgments of one pair count as given together."""

REPEATED = 2
"""Judgments given together from which on two raters are linked."""

USUAL = 0.25
"""Share of the raters beyond which what they bear tells nothing: boilerplate, the common client."""

ALWAYS_UNUSUAL = 5
"""Raters up to whom a value is unusual in the smallest crowd."""

NEAR_SHARE = 0.2
"""Share of all judgments of one pair that are given together beyond which times are those of batches, and left out."""

MOST_SHARERS = 50
"""Votes on one item that are compared in time, each with so many after it at most; bounds the quadratic cost."""

MOST_STARTS = 4
"""Groups of each signal that the search begins from, those with the most sharing first."""

INSIDE, OUTSIDE = 0.95, 1e-3
"""Memberships that a group's start gives its raters and all others."""


class Shared(NamedTuple):
    """Which raters bear which values, with how often each does; only values that several raters bear.

    Two raters who repeatedly judge together bear a value of their own.
    """

    rater: Ints
    value: Ints
    uses: Ints

    @property
    def bearers(self) -> Ints:
        """Raters of each value."""
        return np.bincount(self.value)

    def unusual(self, n_raters: int) -> NDArray[np.bool_]:
        """Which entries are of a value that few raters bear."""
        return (self.bearers <= max(USUAL * n_raters, ALWAYS_UNUSUAL))[self.value]


@dataclass(frozen=True)
class SameSource:
    """What R raters share, by signal: `rationale`, `client`, `timing`.

    `judged` (R) counts each rater's judgments, `reasoned` (R) those with a rationale of some length.
    """

    judged: Ints
    reasoned: Ints
    signals: dict[str, Shared]

    @property
    def n_raters(self) -> int:
        """R."""
        return self.judged.size


def same_source(votes: Votes) -> SameSource:
    """What the raters of `votes` share; signals that nobody shares are left out."""
    if not votes.marks.any:
        return nothing_shared(votes.n_raters)
    judgment, first = np.unique(votes.judgment, return_index=True)
    rater, marks = votes.rater[first], votes.marks
    found = {
        "rationale": shared_values(rater, marks.rationale[judgment]),
        "client": shared_values(rater, marks.client[judgment]),
        "timing": given_together(votes),
    }
    return SameSource(
        np.bincount(rater, minlength=votes.n_raters),
        np.bincount(rater[marks.rationale[judgment] != 0], minlength=votes.n_raters),
        {name: shared for name, shared in found.items() if shared.rater.size},
    )


def nothing_shared(n_raters: int) -> SameSource:
    """Raters who share nothing, or of whom it is not asked."""
    none = np.zeros(n_raters, dtype=np.int64)
    return SameSource(none, none, {})


def shared_values(rater: Ints, mark: Ints) -> Shared:
    """Who bears which mark (0 = none)."""
    known = mark != 0
    values, number = np.unique(mark[known], return_inverse=True)
    width = int(rater.max(initial=0)) + 1
    key, uses = np.unique(number * width + rater[known], return_counts=True)
    value, who = np.divmod(key, width)
    kept = np.bincount(value, minlength=values.size)[value] > 1
    return Shared(who[kept], np.unique(value[kept], return_inverse=True)[1], uses[kept])


def given_together(votes: Votes) -> Shared:
    """Pairs of raters who gave `REPEATED` judgments or more within `NEAR_S` of each other, each pair one value."""
    one, other = near_votes(votes)
    if not one.size:
        return _as_values(one, other, one)
    judged = np.unique(np.stack([votes.judgment[one], votes.judgment[other]]), axis=1, return_index=True)[1]
    pair = np.sort(np.stack([votes.rater[one[judged]], votes.rater[other[judged]]]), axis=0)
    pair, count = np.unique(pair[:, pair[0] != pair[1]], axis=1, return_counts=True)
    often = count >= REPEATED
    return _as_values(pair[0, often], pair[1, often], count[often])


def _as_values(u: Ints, v: Ints, count: Ints) -> Shared:
    return Shared(np.stack([u, v], axis=1).ravel(), np.repeat(np.arange(u.size), 2), np.repeat(count, 2))


def near_votes(votes: Votes) -> tuple[Ints, Ints]:
    """Pairs of votes on one item given together; none where so many are that the times must be those of batches."""
    created = votes.marks.created_s[votes.judgment]
    known = np.flatnonzero(~np.isnan(created))
    order = known[np.lexsort((created[known], votes.item[known]))]
    item, time = votes.item[order], created[order]
    found, compared, near = [], 0, 0
    for lag in range(1, min(MOST_SHARERS, order.size)):
        same = item[lag:] == item[:-lag]
        if not same.any():
            break
        place = np.flatnonzero(same & (time[lag:] - time[:-lag] <= NEAR_S))
        compared, near = compared + int(same.sum()), near + place.size
        found.append((order[place], order[place + lag]))
    if not found or near > NEAR_SHARE * compared:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    one, other = (np.concatenate(column) for column in zip(*found, strict=True))
    return one, other


def starts_of(source: SameSource, copiers: tuple[Ints, ...] = ()) -> tuple[Floats, ...]:
    """Memberships (R) to begin a search from: raters joined by texts or times, and those of one unusual client.

    `copiers` are groups known to copy rationales: where stock phrases join everybody, texts alone do not show them.
    """
    small = [group for group in copiers if group.size <= source.n_raters / 2]
    groups = dict.fromkeys(tuple(group.tolist()) for group in small[:MOST_STARTS])
    for name, shared in source.signals.items():
        kept = shared.unusual(source.n_raters)
        label = shared.value[kept] if name == "client" else joined(shared, kept, source.n_raters)
        groups |= dict.fromkeys(_largest(shared.rater[kept], label, source.n_raters))
    return tuple(np.where(np.isin(np.arange(source.n_raters), group), INSIDE, OUTSIDE) for group in groups)


def joined(shared: Shared, kept: NDArray[np.bool_], n_raters: int) -> Ints:
    """The component of each kept entry, where raters are joined by the values that they bear."""
    rater, value = shared.rater[kept], shared.value[kept] + n_raters
    size = n_raters + shared.bearers.size
    graph = coo_array((np.ones(rater.size), (rater, value)), shape=(size, size))
    component: Ints = connected_components(graph, directed=False)[1][rater].astype(np.int64)
    return component


def _largest(rater: Ints, label: Ints, n_raters: int) -> list[tuple[int, ...]]:
    """The groups of two raters or more, and of no more than half of all, that have the most entries."""
    found: list[tuple[int, ...]] = []
    values, count = np.unique(label, return_counts=True)
    for value in values[np.argsort(-count, kind="stable")]:
        members = np.unique(rater[label == value])
        if 2 <= members.size <= n_raters / 2:
            found.append(tuple(members.tolist()))
        if len(found) == MOST_STARTS:
            break
    return found
