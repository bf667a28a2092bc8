"""Flip number of an item: the smallest number of raters without whose votes on it the answer would lose its side.

Held: the rest of the fit, that is the accuracies of raters, the memberships in blocs, and what the other comparisons of
the item's responses say (`prior`). Renewed: what the remaining votes of a bloc weigh once other votes of it are gone.
A smallest certificate of robustness, recomputable with `log_odds_without`. docs/aggregate/flip-numbers.md.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.columns import Small, VoteColumns
from backstay.aggregate.compiled import compiled, over_slices
from backstay.aggregate.reliability import Fit
from backstay.aggregate.votes import Floats, Ints

NEVER = -1
"""No removal of votes on the item changes its side: a gold item, or one that the prior decides."""

EVEN = 1e-9
"""Log-odds up to which an item has no side."""

MAX_ENUMERATED = 12
"""Votes up to which all subsets are tried where the bounds for blocs do not meet."""

PREFIXES = 64
"""Numbers of removed votes that are tried for an upper bound."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class FlipNumbers:
    """Of I items: `number`, 0 for an item without a side, `NEVER` where no removal suffices; `exact`.

    Of N votes: `named`, whether the vote belongs to the removal that flips its item. Where `exact` is false, `number`
    is an upper bound (`NEVER`: none was found), and as many votes of a bloc meet as make the search too long.
    """

    number: Ints
    exact: Flags
    named: Flags


def flip_numbers(columns: VoteColumns, fit: Fit, *, threads: int | None = None) -> FlipNumbers:
    """Flip numbers of all items. Every rater votes at most once on an item, as `collect_votes` sees to."""
    found = FlipNumbers(
        np.zeros(columns.n_items, dtype=np.int64),
        np.ones(columns.n_items, dtype=np.bool_),
        np.zeros(columns.n_votes, dtype=np.bool_),
    )
    membership, copying = _blocs(fit, columns.n_raters)
    over_slices(
        columns.n_items,
        lambda _, low, high: flip_items(
            low, high, columns, fit.evidence, fit.log_odds, membership, copying, found.number, found.exact, found.named
        ),
        threads or os.cpu_count() or 1,
    )
    return found


def flip_summary(columns: VoteColumns, flips: FlipNumbers) -> dict[str, Any]:
    """How many items fall with one rater, two, and so on, as JSON data; gold items apart."""
    gold = columns.gold != 0
    open_ = flips.number[~gold]
    finite = open_[open_ > 0]
    return {
        "gold_items": int(gold.sum()),
        "without_a_side": int(np.sum(open_ == 0)),
        "never": int(np.sum(open_ == NEVER)),
        "items_by_flip_number": {str(k): int(count) for k, count in enumerate(np.bincount(finite)) if count},
        "median": float(np.median(finite)) if finite.size else None,
        "upper_bounds_only": int(np.sum(~flips.exact)),
    }


def flip_raters(columns: VoteColumns, flips: FlipNumbers, item: int) -> list[int]:
    """The raters whose removal flips `item`, as indices; empty where its number is 0 or `NEVER`."""
    votes = slice(int(columns.start[item]), int(columns.start[item + 1]))
    return [int(rater) for rater in columns.rater[votes][flips.named[votes]]]


def log_odds_without(columns: VoteColumns, fit: Fit, item: int, raters: Collection[int]) -> float:
    """Log-odds of one item when `raters` had not voted on it: what a flip number claims, computed plainly."""
    votes = range(int(columns.start[item]), int(columns.start[item + 1]))
    left = [j for j in votes if int(columns.rater[j]) not in raters]
    total = float(fit.log_odds[item]) - sum(float(fit.evidence[j]) for j in votes)
    for j in left:
        weight = (1.0 + _load(columns, fit, j, votes)) / (1.0 + _load(columns, fit, j, left))
        total += weight * float(fit.evidence[j])
    return float(fit.log_odds[item]) if columns.gold[item] else total


def _load(columns: VoteColumns, fit: Fit, vote: int, voters: Collection[int]) -> float:
    """How many other voices of the same bloc and side stand beside a vote among `voters`."""
    others = [int(columns.rater[k]) for k in voters if k != vote and columns.side[k] == columns.side[vote]]
    own = int(columns.rater[vote])
    return sum(
        bloc.copying * float(bloc.membership[own]) * float(bloc.membership[others].sum())
        for bloc in fit.blocs
        if columns.side[vote]
    )


def _blocs(fit: Fit, n_raters: int) -> tuple[Floats, Floats]:
    """Memberships (R, B) and copying rates (B)."""
    membership = np.zeros((n_raters, len(fit.blocs)))
    for k, bloc in enumerate(fit.blocs):
        membership[:, k] = bloc.membership
    return membership, np.array([bloc.copying for bloc in fit.blocs], dtype=np.float64)


@compiled
def flip_items(
    low: int, high: int, votes: VoteColumns, evidence: Floats, log_odds: Floats, membership: Floats, copying: Floats,
    number: Ints, exact: Flags, named: Flags,
) -> None:  # fmt: skip
    """Fill `number`, `exact` and `named` of items low..high."""
    for i in range(low, high):
        if votes.gold[i] != 0:
            number[i] = NEVER
            continue
        if abs(log_odds[i]) <= EVEN:
            number[i] = 0
            continue
        j, end = votes.start[i], votes.start[i + 1]
        sign = 1.0 if log_odds[i] > 0.0 else -1.0
        pull = sign * evidence[j:end]
        room = sign * log_odds[i]
        members = membership[votes.rater[j:end]]
        load = _loads(votes.side[j:end], members, copying, named[j:end])
        if load.size == 0 or load.max() <= 0.0:
            number[i] = greedy(pull, room, named[j:end])
        else:
            number[i], exact[i] = among_blocs(pull, room, votes.side[j:end], members, copying, load, named[j:end])


@compiled
def greedy(pull: Floats, room: float, named: Flags) -> int:
    """Fewest votes whose `pull` sums to `room` or more: the strongest first, which no other choice of as many beats."""
    order = np.argsort(-pull)
    for k in range(pull.size):
        if pull[order[k]] <= 0.0:
            return NEVER
        room -= pull[order[k]]
        if room <= EVEN:
            named[order[: k + 1]] = True
            return k + 1
    return NEVER


@compiled
def among_blocs(
    pull: Floats, room: float, side: Small, members: Floats, copying: Floats, load: Floats, named: Flags
) -> tuple[int, bool]:
    """Flip number where removing one vote of a bloc makes the others weigh more, and whether it is exact.

    Weights only grow, each at most to that of an independent vote. So at least as many must go as if the supporting
    votes kept their weight and the opposing ones had their full one; and any removal that flips is enough.
    """
    full = pull * (1.0 + load)
    rest = room - pull.sum()
    worst = rest + np.maximum(pull, 0.0).sum() + np.minimum(full, 0.0).sum()
    least = 1
    if worst > EVEN:
        least = greedy(pull, worst, np.zeros(pull.size, dtype=np.bool_))
        if least == NEVER:
            return NEVER, True
    best = pull.size + 1
    for start in (pull, full):
        size = _prefix(np.argsort(-start), least, best, full, rest, side, members, copying, named)
        best = min(best, size)
    if best > least and pull.size <= MAX_ENUMERATED:
        return enumerated(least, best, full, rest, side, members, copying, named), True
    return (best if best <= pull.size else NEVER), best == least


@compiled
def _prefix(
    order: Ints, least: int, best: int, full: Floats, rest: float, side: Small, members: Floats, copying: Floats,
    named: Flags,
) -> int:  # fmt: skip
    """The first size below `best`, from `least` on, of which so many votes in `order` flip; names them."""
    removed = np.zeros(full.size, dtype=np.bool_)
    for size in range(least, best, max(1, full.size // PREFIXES)):
        removed[order[:size]] = True
        if _left(full, rest, side, members, copying, removed) <= EVEN:
            named[:] = removed
            return size
    return best


@compiled
def enumerated(
    least: int, best: int, full: Floats, rest: float, side: Small, members: Floats, copying: Floats, named: Flags
) -> int:
    """The smallest subset of all that flips; sizes below `least` cannot, and one of size `best` is named already."""
    removed = np.zeros(full.size, dtype=np.bool_)
    for size in range(least, min(best, full.size + 1)):
        for subset in range(1, 1 << full.size):
            count = 0
            for j in range(full.size):
                removed[j] = (subset >> j) & 1 == 1
                count += removed[j]
            if count == size and _left(full, rest, side, members, copying, removed) <= EVEN:
                named[:] = removed
                return size
    return best if best <= full.size else NEVER


@compiled
def _left(full: Floats, rest: float, side: Small, members: Floats, copying: Floats, removed: Flags) -> float:
    """What speaks for the item's side without the removed votes."""
    load = _loads(side, members, copying, removed)
    for j in range(full.size):
        if not removed[j]:
            rest += full[j] / (1.0 + load[j])
    return rest


@compiled
def _loads(side: Small, members: Floats, copying: Floats, removed: Flags) -> Floats:
    """For each vote the rate of copying times the memberships of the others of its side that are not removed."""
    load = np.zeros(side.size)
    for k in range(copying.size):
        for_a, for_b = 0.0, 0.0
        for j in range(side.size):
            if not removed[j]:
                for_a += members[j, k] if side[j] > 0 else 0.0
                for_b += members[j, k] if side[j] < 0 else 0.0
        for j in range(side.size):
            if side[j] != 0 and not removed[j]:
                own = members[j, k]
                load[j] += copying[k] * own * ((for_a if side[j] > 0 else for_b) - own)
    return load
