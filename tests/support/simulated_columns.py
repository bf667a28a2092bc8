"""Votes of a simulated crowd as columns, with ties, gold and four responses a prompt; no rater votes twice."""

from pathlib import Path

import numpy as np

from backstay.aggregate import Fit, VoteColumns
from backstay.aggregate.votes import Ints


def simulate_columns(seed: int, *, items: int = 300, raters: int = 20, per_item: int = 4) -> tuple[VoteColumns, Ints]:
    """Columns, and the truth (I; 1 = a, -1 = b). Accuracy is 0.6 to 0.95; a tenth of the items has gold."""
    rng = np.random.default_rng(seed)
    skill = rng.uniform(0.6, 0.95, raters)
    truth = rng.choice(np.array([-1, 1]), items)
    rater = np.argsort(rng.random((items, raters)), axis=1)[:, :per_item].ravel()
    side = np.where(rng.random(rater.size) < skill[rater], 1, -1) * np.repeat(truth, per_item)
    side[rng.random(rater.size) < 0.05] = 0
    first, second = np.triu_indices(4, 1)
    of_prompt = 4 * (np.arange(items) // 6)
    columns = VoteColumns(
        start=np.arange(0, rater.size + 1, per_item),
        rater=rater.astype(np.int32),
        side=side.astype(np.int8),
        shown=rng.choice(np.array([-1, 0, 1], dtype=np.int8), rater.size),
        share=rng.choice(np.array([0.5, 1.0], dtype=np.float32), rater.size),
        a=(of_prompt + first[np.arange(items) % 6]).astype(np.int32),
        b=(of_prompt + second[np.arange(items) % 6]).astype(np.int32),
        gold=np.where(rng.random(items) < 0.1, truth, 0).astype(np.int8),
        n_raters=raters,
        n_responses=int(of_prompt[-1]) + 4,
    )
    return columns, truth


def chosen_votes(columns: VoteColumns, keep: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> VoteColumns:
    """The votes that `keep` (N) says, on the same items."""
    count = np.bincount(columns.item[keep], minlength=columns.n_items)
    return columns._replace(
        start=np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        rater=columns.rater[keep],
        side=columns.side[keep],
        shown=columns.shown[keep],
        share=columns.share[keep],
    )


def save_log_odds(folder: Path, number: int, columns: VoteColumns, fit: Fit) -> None:
    """Keep what a shard found, in the process that found it."""
    if fit.belief.size != columns.n_votes:
        raise AssertionError(f"{fit.belief.size} beliefs of {columns.n_votes} votes")
    np.save(folder / f"{number}.npy", fit.log_odds)
