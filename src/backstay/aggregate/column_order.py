"""Votes brought into the order of their items, and looked at item by item, without a comparison sort."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.columns import Index, VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.votes import Ints

S = TypeVar("S", bound=np.generic)


def item_places(item: Index, rater: Index, n_items: int) -> tuple[Ints, NDArray[Any] | None]:
    """Where each item's votes begin (I + 1), and the place of each row (-1 where `rater` is negative: no vote).

    The place is None where the rows lie in order already. Rows of one item keep their order.
    """
    start = np.zeros(n_items + 1, dtype=np.int64)
    if count_votes(item, rater, start):
        return start, None
    place: NDArray[Any] = np.empty(item.size, dtype=np.int32 if item.size < 2**31 else np.int64)
    write_places(item, rater, start[:-1].copy(), place)
    return start, place


def moved(column: NDArray[S], place: NDArray[Any] | None, size: int) -> NDArray[S]:
    """`column` with each row at its place; rows of place -1 are left out."""
    if place is None:
        return column
    result = np.empty(size, dtype=column.dtype)
    move(column, place, result)
    return result


def taken(items: Ints, columns: VoteColumns) -> tuple[VoteColumns, Ints]:
    """Columns of the chosen items alone, their raters numbered as before; and the places of their votes."""
    size = columns.start[items + 1] - columns.start[items]
    start = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    votes: Ints = np.arange(start[-1]) + np.repeat(columns.start[items] - start[:-1], size)
    part = columns._replace(
        start=start, rater=columns.rater[votes], side=columns.side[votes], shown=columns.shown[votes],
        share=columns.share[votes], a=columns.a[items], b=columns.b[items], gold=columns.gold[items],
    )  # fmt: skip
    return part, votes


@compiled
def count_votes(item: Index, rater: Index, start: Ints) -> bool:
    """Fill `start`; whether all rows are votes that lie in order."""
    in_order = True
    for j in range(item.size):
        in_order = in_order and rater[j] >= 0 and (j == 0 or item[j - 1] <= item[j])
        if rater[j] >= 0:
            start[item[j] + 1] += 1
    for i in range(1, start.size):
        start[i] += start[i - 1]
    return in_order


@compiled
def write_places(item: Index, rater: Index, following: Ints, place: NDArray[Any]) -> None:
    """Fill `place` from the place that follows in each item (I), which is moved on."""
    for j in range(item.size):
        if rater[j] < 0:
            place[j] = -1
            continue
        place[j] = following[item[j]]
        following[item[j]] += 1


@compiled
def move(column: NDArray[Any], place: NDArray[Any], result: NDArray[Any]) -> None:
    """Write each row of `column` to its place."""
    for j in range(column.size):
        if place[j] >= 0:
            result[place[j]] = column[j]


@compiled
def item_values(item: Index, values: NDArray[Any], unknown: int, found: NDArray[Any]) -> int:
    """Fill `found` (I) with the first known value of each item's rows; the first row that differs, or -1."""
    for j in range(item.size):
        if values[j] == unknown:
            continue
        if found[item[j]] == unknown:
            found[item[j]] = values[j]
        elif found[item[j]] != values[j]:
            return j
    return -1


@compiled
def voted_twice(start: Ints, rater: Index, n_raters: int) -> tuple[int, int]:
    """An item and the rater who has two votes on it, or -1 and -1."""
    last = np.full(n_raters, -1, dtype=np.int64)
    for i in range(start.size - 1):
        for j in range(start[i], start[i + 1]):
            if last[rater[j]] == i:
                return i, int(rater[j])
            last[rater[j]] = i
    return -1, -1
