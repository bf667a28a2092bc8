"""Votes as sorted columns: what the kernels read, at 14 bytes a vote."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.votes import Floats, Ints, Votes

Small = NDArray[np.int8]
Index = NDArray[np.int32]


class VoteColumns(NamedTuple):
    """N votes sorted by item, of R raters on I items that compare two of S responses each.

    `start` (I + 1) says where an item's votes begin. Of each vote: `rater`; `side`, 1 for "a is better", -1 for "b is
    better", 0 for a tie; `shown`, 1 where a stood first, -1 where it stood second, 0 where unknown; `share`, the part
    of an independent vote that it carries. Of each item: `a` and `b`, its responses; `gold`, 1 for a, -1 for b, 0 where
    unknown.
    """

    start: Ints
    rater: Index
    side: Small
    shown: Small
    share: NDArray[np.float32]
    a: Index
    b: Index
    gold: Small
    n_raters: int
    n_responses: int

    @property
    def n_items(self) -> int:
        """I."""
        return self.start.size - 1

    @property
    def n_votes(self) -> int:
        """N."""
        return self.rater.size

    @property
    def item(self) -> Ints:
        """The item of each vote (N)."""
        return np.repeat(np.arange(self.n_items), np.diff(self.start))


def columns_of(votes: Votes, gold: Floats) -> VoteColumns:
    """Columns of `votes`, with `gold` (I; 1 = a, 0 = b, NaN = unknown), which may hold less than `votes.gold` does."""
    number: dict[tuple[str, str], int] = {}
    ends = [
        [number.setdefault((item.dimension, response), len(number)) for response in (item.a, item.b)]
        for item in votes.items
    ]
    responses = np.array(ends, dtype=np.int32).reshape(-1, 2)
    return VoteColumns(
        start=np.concatenate([[0], np.cumsum(np.bincount(votes.item, minlength=votes.n_items))]).astype(np.int64),
        rater=votes.rater.astype(np.int32),
        side=votes.side.astype(np.int8),
        shown=votes.shown.astype(np.int8),
        share=votes.share.astype(np.float32),
        a=responses[:, 0].copy(),
        b=responses[:, 1].copy(),
        gold=np.nan_to_num(2.0 * gold - 1.0).astype(np.int8),
        n_raters=votes.n_raters,
        n_responses=len(number),
    )
