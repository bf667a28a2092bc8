"""Columns that grow: new votes, items, raters and gold answers put into their places by copying each column once."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.columns import Index, Small, VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.votes import Ints
from backstay.errors import UsageError


@dataclass(frozen=True)
class NewVotes:
    """What has come in since: M votes, new items and raters, and answers of old items that are now known.

    `item` and `rater` count on where the columns end: a vote on item I is one on the first of the new items, whose
    responses and answers stand in `a`, `b` and `gold`. `n_raters` and `n_responses` count old and new ones. `group`
    holds the groups of the new raters. `gold_item` and `gold_side` are answers of old items.
    """

    item: Ints
    rater: Ints
    side: Small
    shown: Small
    share: NDArray[np.float32]
    a: Index
    b: Index
    gold: Small
    group: Index
    n_raters: int
    n_responses: int
    gold_item: Ints
    gold_side: Small

    @classmethod
    def on(cls, columns: VoteColumns, item: Ints, rater: Ints, side: Small, **more: Any) -> "NewVotes":
        """Votes on `columns`; what is not given: order unknown, whole shares, no new items or answers, first group."""
        n_raters = max(columns.n_raters, int(np.max(rater, initial=-1)) + 1)
        none, none_small = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int8)
        given: dict[str, Any] = {
            "shown": np.zeros(item.size, dtype=np.int8),
            "share": np.ones(item.size, dtype=np.float32),
            "a": none,
            "b": none,
            "gold": none_small,
            "group": np.zeros(n_raters - columns.n_raters, dtype=np.int32),
            "n_raters": n_raters,
            "n_responses": columns.n_responses,
            "gold_item": none.astype(np.int64),
            "gold_side": none_small,
        }
        return cls(item=item, rater=rater, side=side, **(given | more))


class Growth(NamedTuple):
    """Grown columns, and how they came from the old ones.

    `at` says before which old vote each added one lies, sorted; `added_item` and `added_rater` whose it is. `replaced`
    lists new places of votes that replace an old one; `touched` the items that are new or have news.
    """

    columns: VoteColumns
    at: Ints
    added_item: Ints
    added_rater: Ints
    replaced: Ints
    touched: Ints


class RaterItems(NamedTuple):
    """The items that each rater voted on: item[begin[r]:begin[r + 1]]."""

    begin: Ints
    item: Index


def grown(columns: VoteColumns, new: NewVotes) -> Growth:
    """Columns with `new` in them; of two votes by one rater on one item the later counts."""
    _check(columns, new)
    kept = _last_of_each(new.item * new.n_raters + new.rater)
    item, rater = new.item[kept], new.rater[kept]
    old = find_votes(columns.start, columns.rater, item, rater)
    added = np.flatnonzero(old < 0)
    added = added[np.argsort(item[added], kind="stable")]
    n_items = columns.n_items + new.a.size
    at = columns.start[np.minimum(item[added] + 1, columns.n_items)]
    start = np.append(columns.start, np.full(new.a.size, columns.n_votes))
    start[1:] += np.cumsum(np.bincount(item[added], minlength=n_items))
    again = np.flatnonzero(old >= 0)
    replaced = old[again] + np.searchsorted(at, old[again], side="right")

    def with_new(column: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
        result = inserted(column, at, values[kept][added].astype(column.dtype))
        result[replaced] = values[kept][again]
        return result

    gold = np.append(columns.gold, new.gold).astype(np.int8)
    gold[new.gold_item] = new.gold_side
    result = VoteColumns(
        start,
        inserted(columns.rater, at, rater[added].astype(np.int32)),
        with_new(columns.side, new.side),
        with_new(columns.shown, new.shown),
        with_new(columns.share, new.share),
        np.append(columns.a, new.a).astype(np.int32),
        np.append(columns.b, new.b).astype(np.int32),
        gold,
        new.n_raters,
        new.n_responses,
    )
    touched = np.unique(np.concatenate([item, new.gold_item, np.arange(columns.n_items, n_items)]))
    return Growth(result, at, item[added], rater[added], replaced, touched)


def _check(columns: VoteColumns, new: NewVotes) -> None:
    n_items = columns.n_items + new.a.size
    for name, values, low, high in (
        ("item", new.item, 0, n_items - 1),
        ("rater", new.rater, 0, new.n_raters - 1),
        ("side", new.side, -1, 1),
        ("shown", new.shown, -1, 1),
        ("a", new.a, 0, new.n_responses - 1),
        ("b", new.b, 0, new.n_responses - 1),
        ("gold", new.gold, -1, 1),
        ("gold_item", new.gold_item, 0, columns.n_items - 1),
        ("gold_side", new.gold_side, -1, 1),
        ("share", new.share, 0, 1),
    ):
        wrong = ~((values >= low) & (values <= high))
        if wrong.any():
            k = int(wrong.argmax())
            raise UsageError(f"new vote or item {k}: {name} is {values[k]}", cure=f"accepted: {low} to {high}")
    sizes = {new.item.size, new.rater.size, new.side.size, new.shown.size, new.share.size}
    if len(sizes) > 1 or len({new.a.size, new.b.size, new.gold.size}) > 1:
        raise UsageError(f"columns of new votes differ in length: {sorted(sizes)}", cure="one value a vote")
    if new.n_raters < columns.n_raters or new.group.size != new.n_raters - columns.n_raters:
        raise UsageError(
            f"{new.n_raters} raters with groups of {new.group.size} new ones, after {columns.n_raters}",
            cure="count old and new raters, and give each new one a group",
        )


def _last_of_each(key: Ints) -> Ints:
    """Places of the last occurrence of each key, in order."""
    _, place = np.unique(key[::-1], return_index=True)
    last: Ints = np.sort(key.size - 1 - place)
    return last


def rater_items(columns: VoteColumns) -> RaterItems:
    """The items of each rater."""
    begin = np.concatenate([[0], np.cumsum(np.bincount(columns.rater, minlength=columns.n_raters))]).astype(np.int64)
    item = np.empty(columns.n_votes, dtype=np.int32)
    list_items(columns.start, columns.rater, begin[:-1].copy(), item)
    return RaterItems(begin, item)


def grown_rater_items(old: RaterItems, growth: Growth) -> RaterItems:
    """The items of each rater, with those of the added votes."""
    n_raters = growth.columns.n_raters
    order = np.argsort(growth.added_rater, kind="stable")
    rater = growth.added_rater[order]
    begin = np.append(old.begin, np.full(n_raters + 1 - old.begin.size, old.item.size))
    item = inserted(old.item, begin[rater + 1], growth.added_item[order].astype(np.int32))
    begin[1:] += np.cumsum(np.bincount(rater, minlength=n_raters))
    return RaterItems(begin, item)


def inserted(column: NDArray[Any], at: Ints, values: NDArray[Any]) -> NDArray[Any]:
    """`column` with each of `values` before the row that `at`, sorted, names."""
    result = np.empty(column.size + at.size, dtype=column.dtype)
    insert(column, at, values, result)
    return result


@compiled
def insert(column: NDArray[Any], at: Ints, values: NDArray[Any], result: NDArray[Any]) -> None:
    """Copy the parts of `column` between the places, moved on by one more each time."""
    low = 0
    for k in range(at.size + 1):
        high = at[k] if k < at.size else column.size
        result[low + k : high + k] = column[low:high]
        if k < at.size:
            result[high + k] = values[k]
        low = high


@compiled
def find_votes(start: Ints, rater: Index, item: Ints, who: Ints) -> Ints:
    """The vote of each `who` on each `item`, or -1."""
    found = np.full(item.size, -1, dtype=np.int64)
    for k in range(item.size):
        if item[k] >= start.size - 1:
            continue
        for j in range(start[item[k]], start[item[k] + 1]):
            if rater[j] == who[k]:
                found[k] = j
    return found


@compiled
def list_items(start: Ints, rater: Index, following: Ints, item: Index) -> None:
    """Fill `item` from the place that follows for each rater (R), which is moved on."""
    for i in range(start.size - 1):
        for j in range(start[i], start[i + 1]):
            item[following[rater[j]]] = i
            following[rater[j]] += 1
