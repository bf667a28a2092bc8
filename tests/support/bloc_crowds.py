"""Crowds as columns, for tests of blocs: honest raters, a bloc that repeats a shared coin, and sparse rings."""

import numpy as np

from backstay.aggregate import VoteColumns


def crowd_columns(seed: int, *, raters: int, items: int, per_item: int, bloc: int, copies: float = 1.0) -> VoteColumns:
    """The first `bloc` raters repeat a shared coin with probability `copies`; the others are right in 8 of 10."""
    rng = np.random.default_rng(seed)
    truth, shared = rng.choice([-1, 1], items), rng.choice([-1, 1], items)
    rater = np.concatenate([np.sort(rng.choice(raters, per_item, replace=False)) for _ in range(items)])
    item = np.repeat(np.arange(items), per_item)
    own = np.where(rng.random(item.size) < 0.8, truth[item], -truth[item])
    copied = (rater < bloc) & (rng.random(item.size) < copies)
    side = np.where(copied, shared[item], own)
    gold = np.where(rng.random(items) < 0.1, truth, 0)
    return VoteColumns(
        start=np.arange(0, item.size + 1, per_item), rater=rater.astype(np.int32), side=side.astype(np.int8),
        shown=rng.choice([-1, 1], item.size).astype(np.int8), share=np.ones(item.size, dtype=np.float32),
        a=2 * np.arange(items, dtype=np.int32), b=2 * np.arange(items, dtype=np.int32) + 1,
        gold=gold.astype(np.int8), n_raters=raters, n_responses=2 * items,
    )  # fmt: skip


def independent_columns(
    seed: int, *, raters: int, items: int, per_item: int, skill: tuple[float, float], gold_share: float = 0.1
) -> VoteColumns:
    """Raters with accuracies uniform in `skill` who all vote for themselves."""
    rng = np.random.default_rng(seed + 1000)
    columns = crowd_columns(seed, raters=raters, items=items, per_item=per_item, bloc=0)
    accuracy, truth = rng.uniform(*skill, raters), rng.choice([-1, 1], items)
    right = rng.random(columns.n_votes) < accuracy[columns.rater]
    side = np.where(right, truth[columns.item], -truth[columns.item]).astype(np.int8)
    gold = np.where(rng.random(items) < gold_share, truth, 0).astype(np.int8)
    return columns._replace(side=side, gold=gold)


def ring_columns(seed: int, *, raters: int, items: int, per_item: int, ring: int, shared: int) -> VoteColumns:
    """On `shared` items two of the first `ring` raters take the places of two honest ones and repeat one coin."""
    rng = np.random.default_rng(seed + 77)
    columns = crowd_columns(seed, raters=raters, items=items, per_item=per_item, bloc=0)
    rater, side = columns.rater.reshape(items, per_item).copy(), columns.side.reshape(items, per_item).copy()
    for i in rng.choice(items, shared, replace=False):
        who, coin = rng.choice(ring, 2, replace=False), rng.choice([-1, 1])
        others = [(int(r), int(s)) for r, s in zip(rater[i], side[i], strict=True) if r not in who]
        voted = sorted([(int(r), int(coin)) for r in who] + others[: per_item - 2])
        rater[i], side[i] = np.array(voted).T
    return columns._replace(rater=rater.ravel(), side=side.ravel())
