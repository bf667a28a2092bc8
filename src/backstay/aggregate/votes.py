"""Judgments as columns: one row for each pairwise vote of one rater."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.judgment_marks import MarkCollector, Marks, seconds_of
from backstay.records import Choice, Judgment, Task

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Key = tuple[str, str, str, str]


def tally(index: Ints, weight: Floats | NDArray[np.bool_], size: int) -> Floats:
    """Sum `weight` by `index` into `size` cells."""
    return np.bincount(index, weight, size).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Item:
    """Two responses to compare: `a` is the one that was named first when the pair was first asked about."""

    prompt_id: str
    a: str
    b: str
    dimension: str


@dataclass(frozen=True)
class Votes:
    """N votes of R raters on I items, and what is known of the items.

    `item`, `rater` index into `items`, `rater_ids`. `side` is 1 for "a is better", -1 for "b is better", 0 for a tie;
    `both_bad` marks ties that said so. `shown` is 1 where `a` stood first, -1 where it stood second, 0 where unknown.
    `share` is the part of an independent vote that the row carries: 2 / K in a ranking of K responses, which gives
    K (K - 1) / 2 rows but only K - 1 comparisons. `duration_ms` and `gold` (1 = a, 0 = b) are NaN where unknown.
    `time` indexes into `times`, the moments of judging in order. `marks` say where each judgment of `judgment_digests`
    came from.
    """

    items: tuple[Item, ...]
    rater_ids: tuple[str, ...]
    judgment_digests: tuple[str, ...]
    item: Ints
    rater: Ints
    judgment: Ints
    side: Floats
    both_bad: NDArray[np.bool_]
    shown: Floats
    share: Floats
    duration_ms: Floats
    time: Ints
    times: tuple[str, ...]
    gold: Floats
    dropped: dict[str, int]
    marks: Marks

    @property
    def vote(self) -> Floats:
        """1 for "a is better", 0 for "b is better", 0.5 for a tie."""
        return (self.side + 1.0) / 2.0

    @property
    def n_items(self) -> int:
        """I."""
        return len(self.items)

    @property
    def n_raters(self) -> int:
        """R."""
        return len(self.rater_ids)


@dataclass(frozen=True, slots=True)
class _Row:
    item: int
    rater_id: str
    judgment: int
    side: int
    both_bad: bool
    shown: int
    share: float
    duration_ms: float
    created_at: str


def collect_votes(tasks: Iterable[Task], judgments: Iterable[Judgment]) -> Votes:
    """Break judgments into pairwise votes and merge tasks that ask about the same two responses.

    A judgment of an unknown task, or whose ranking does not fit its task, is dropped; of two judgments by one rater on
    one pair the later counts. Each is counted in `dropped`. Gold answers that contradict each other cancel out.
    """
    asked = tuple(tasks)
    by_id = {task.id: task for task in asked}
    index, items = _index_items(asked)
    dropped: Counter[str] = Counter()
    kept: dict[tuple[int, str], _Row] = {}
    digests: list[str] = []
    marks = MarkCollector()
    for judgment in judgments:
        task = by_id.get(judgment.task_id)
        if task is None:
            dropped["judgment_of_unknown_task"] += 1
            continue
        if not _fits(judgment.choice, len(task.response_ids)):
            dropped["ranking_does_not_fit_task"] += 1
            continue
        digests.append(judgment.hash or judgment.digest())
        marks.add(judgment)
        for row in _rows(task, judgment, index, items, len(digests) - 1):
            dropped["superseded_vote"] += _keep_latest(kept, row)
    gold, dropped["gold_conflict"] = _gold(asked, index, items)
    dropped["gold_out_of_range"] = sum(t.gold is not None and not 0 <= t.gold < len(t.response_ids) for t in asked)
    rows = sorted(kept.values(), key=_row_order)
    return _columns(items, rows, digests, gold, {k: v for k, v in dropped.items() if v}, marks.marks())


def _row_order(row: _Row) -> tuple[int, str]:
    return row.item, row.rater_id


def _key(task: Task, first: int, second: int) -> Key:
    low, high = sorted((task.response_ids[first], task.response_ids[second]))
    return task.prompt_id, task.dimension, low, high


def _index_items(tasks: Iterable[Task]) -> tuple[dict[Key, int], list[Item]]:
    index: dict[Key, int] = {}
    items: list[Item] = []
    for task in tasks:
        for first, second in combinations(range(len(task.response_ids)), 2):
            key = _key(task, first, second)
            if key not in index:
                index[key] = len(items)
                items.append(Item(task.prompt_id, task.response_ids[first], task.response_ids[second], task.dimension))
    return index, items


def _fits(choice: Choice, size: int) -> bool:
    return choice.both_bad or sum(len(group) for group in choice.ranking) == size


def _rows(
    task: Task, judgment: Judgment, index: dict[Key, int], items: Sequence[Item], position: int
) -> Iterable[_Row]:
    size = len(task.response_ids)
    rank = {response: place for place, group in enumerate(judgment.choice.ranking) for response in group}
    place_shown = {response: place for place, response in enumerate(judgment.order_shown)}
    for first, second in combinations(range(size), 2):
        item = index[_key(task, first, second)]
        flip = 1 if items[item].a == task.response_ids[first] else -1
        side = _sign(rank.get(second, 0) - rank.get(first, 0))
        shown = _sign(place_shown[second] - place_shown[first]) if {first, second} <= place_shown.keys() else 0
        yield _Row(
            item=item,
            rater_id=judgment.rater_id,
            judgment=position,
            side=flip * side,
            both_bad=judgment.choice.both_bad,
            shown=flip * shown,
            share=2.0 / size,
            duration_ms=float("nan") if judgment.duration_ms is None else float(judgment.duration_ms),
            created_at=judgment.created_at,
        )


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def _keep_latest(kept: dict[tuple[int, str], _Row], row: _Row) -> int:
    """Keep the later of two votes by one rater on one item; 1 when one was superseded."""
    key = row.item, row.rater_id
    old = kept.get(key)
    if old is None or row.created_at >= old.created_at:
        kept[key] = row
    return int(old is not None)


def _gold(tasks: Iterable[Task], index: dict[Key, int], items: Sequence[Item]) -> tuple[Floats, int]:
    answers: dict[int, set[float]] = {}
    for task in tasks:
        if task.gold is None or not 0 <= task.gold < len(task.response_ids):
            continue
        for other in range(len(task.response_ids)):
            if other != task.gold:
                item = index[_key(task, task.gold, other)]
                answers.setdefault(item, set()).add(float(items[item].a == task.response_ids[task.gold]))
    gold = np.full(len(items), np.nan)
    for item, found in answers.items():
        if len(found) == 1:
            gold[item] = next(iter(found))
    return gold, sum(len(found) > 1 for found in answers.values())


def _in_time(created_at: str) -> tuple[bool, float, str]:
    """Moments that can be read come first, in whatever zone they are given."""
    seconds = seconds_of(created_at)
    return (True, 0.0, created_at) if math.isnan(seconds) else (False, seconds, created_at)


def _columns(
    items: list[Item], rows: list[_Row], digests: list[str], gold: Floats, dropped: dict[str, int], marks: Marks
) -> Votes:
    rater_ids = tuple(sorted({row.rater_id for row in rows}))
    number = {rater_id: place for place, rater_id in enumerate(rater_ids)}
    times = tuple(sorted({row.created_at for row in rows}, key=_in_time))
    moment = {time: place for place, time in enumerate(times)}
    return Votes(
        items=tuple(items),
        rater_ids=rater_ids,
        judgment_digests=tuple(digests),
        item=np.array([row.item for row in rows], dtype=np.int64),
        rater=np.array([number[row.rater_id] for row in rows], dtype=np.int64),
        judgment=np.array([row.judgment for row in rows], dtype=np.int64),
        side=np.array([row.side for row in rows], dtype=np.float64),
        both_bad=np.array([row.both_bad for row in rows], dtype=np.bool_),
        shown=np.array([row.shown for row in rows], dtype=np.float64),
        share=np.array([row.share for row in rows], dtype=np.float64),
        duration_ms=np.array([row.duration_ms for row in rows], dtype=np.float64),
        time=np.array([moment[row.created_at] for row in rows], dtype=np.int64),
        times=times,
        gold=gold,
        dropped=dropped,
        marks=marks,
    )
