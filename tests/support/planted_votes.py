"""Vote columns from rows that a test writes down, and crowds whose raters and scores are known."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.columns import VoteColumns

Row = tuple[int, int, int]


def columns_from(
    rows: Sequence[Row],
    *,
    n_items: int,
    n_raters: int,
    pairs: Sequence[tuple[int, int]] | None = None,
    gold: Sequence[int] | None = None,
    share: Sequence[float] | None = None,
) -> VoteColumns:
    """Columns of (item, rater, side); by default every item compares two responses of its own."""
    order = sorted(range(len(rows)), key=lambda k: rows[k][0])
    table = np.array([rows[k] for k in order], dtype=np.int64).reshape(-1, 3)
    ends = np.array([(2 * i, 2 * i + 1) for i in range(n_items)] if pairs is None else pairs, dtype=np.int32)
    ends = ends.reshape(-1, 2)
    weights = np.ones(len(rows)) if share is None else np.array([share[k] for k in order])
    return VoteColumns(
        start=np.concatenate([[0], np.cumsum(np.bincount(table[:, 0], minlength=n_items))]).astype(np.int64),
        rater=table[:, 1].astype(np.int32),
        side=table[:, 2].astype(np.int8),
        shown=np.zeros(len(rows), dtype=np.int8),
        share=weights.astype(np.float32),
        a=ends[:, 0].copy(),
        b=ends[:, 1].copy(),
        gold=np.array([0] * n_items if gold is None else gold, dtype=np.int8),
        n_raters=n_raters,
        n_responses=int(ends.max(initial=-1)) + 1,
    )


def mirrored(columns: VoteColumns) -> VoteColumns:
    """The same votes with a and b renamed."""
    return columns._replace(a=columns.b, b=columns.a, side=-columns.side, shown=-columns.shown, gold=-columns.gold)


def independent_crowd(
    seed: int, accuracy: Sequence[float], *, items: int, per_item: int, tie_rate: float = 0.0
) -> tuple[VoteColumns, NDArray[np.int64]]:
    """Votes of independent raters on unrelated pairs, and the truth (1 = a, -1 = b) of each pair."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([-1, 1], items)
    rows = []
    for item in range(items):
        for rater in rng.choice(len(accuracy), per_item, replace=False):
            side = int(truth[item]) if rng.random() < accuracy[rater] else -int(truth[item])
            rows.append((item, int(rater), 0 if rng.random() < tie_rate else side))
    return columns_from(rows, n_items=items, n_raters=len(accuracy)), truth


def scored_crowd(
    seed: int, competence: Sequence[float], *, responses: int, items: int, per_item: int
) -> tuple[VoteColumns, NDArray[np.float64]]:
    """Votes by the model of noisy Bradley-Terry on random pairs of `responses`, and the scores."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.0, 1.5, responses)
    pairs = [tuple(rng.choice(responses, 2, replace=False).tolist()) for _ in range(items)]
    rows = []
    for item, (a, b) in enumerate(pairs):
        for rater in rng.choice(len(competence), per_item, replace=False):
            by_score = 1 if rng.random() < 1.0 / (1.0 + np.exp(scores[b] - scores[a])) else -1
            rows.append((item, int(rater), by_score if rng.random() < competence[rater] else -by_score))
    return columns_from(rows, n_items=items, n_raters=len(competence), pairs=pairs), scores
