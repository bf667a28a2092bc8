import math

import numpy as np
import pytest

from backstay.aggregate import collect_votes, majority_share
from backstay.records import Choice, Judgment, Task

PAIR = Task.make("p", ("x", "y"))
TURNED = Task.make("p", ("y", "x"), gold=0)


def judge(task: Task, rater: str, choice: Choice, order: tuple[int, ...] = (0, 1), at: str = "2026-01-01") -> Judgment:
    return Judgment(
        id=f"{task.id}{rater}", task_id=task.id, rater_id=rater, order_shown=order, choice=choice, created_at=at
    )


def test_tasks_on_the_same_two_responses_merge_and_turn() -> None:
    votes = collect_votes(
        [PAIR, TURNED],
        [judge(PAIR, "r1", Choice.prefer(0, 1)), judge(TURNED, "r2", Choice.prefer(0, 1), (0, 1))],
    )
    assert votes.n_items == 1
    assert votes.vote.tolist() == [1.0, 0.0]
    assert votes.shown.tolist() == [1.0, -1.0]  # y stood first in the turned task, so x stood second
    assert votes.gold.tolist() == [0.0]  # y is best


def test_ties_and_both_bad_are_half_votes() -> None:
    votes = collect_votes([PAIR], [judge(PAIR, "r1", Choice.tie()), judge(PAIR, "r2", Choice(both_bad=True))])
    assert votes.vote.tolist() == [0.5, 0.5]
    assert votes.both_bad.tolist() == [False, True]


def test_a_ranking_of_three_gives_three_rows_that_count_as_two_votes() -> None:
    task = Task.make("p", ("x", "y", "z"), gold=2)
    votes = collect_votes([task], [judge(task, "r", Choice(ranking=((2,), (0, 1))), (2, 0, 1))])
    assert votes.side.tolist() == [0.0, -1.0, -1.0]  # x-y tie, z beats x, z beats y
    assert votes.shown.tolist() == [1.0, -1.0, -1.0]
    assert votes.share.sum() == pytest.approx(2.0)
    assert votes.gold[1:].tolist() == [0.0, 0.0]
    assert math.isnan(votes.gold[0])


def test_a_second_judgment_supersedes_the_first_whatever_the_order_of_arrival() -> None:
    early = judge(PAIR, "r", Choice.prefer(0, 1), at="2026-01-01")
    late = judge(PAIR, "r", Choice.prefer(1, 0), at="2026-01-02")
    for arrival in ([early, late], [late, early]):
        votes = collect_votes([PAIR], arrival)
        assert votes.vote.tolist() == [0.0]
        assert votes.dropped == {"superseded_vote": 1}


def test_what_cannot_be_used_is_counted() -> None:
    stranger = Judgment(
        id="j", task_id="task-none", rater_id="r", order_shown=(0, 1), choice=Choice.tie(), created_at="2026"
    )
    misfit = judge(PAIR, "r", Choice(ranking=((0,), (1,), (2,))))
    votes = collect_votes([PAIR.model_copy(update={"gold": 7})], [stranger, misfit])
    assert votes.item.size == 0
    assert votes.dropped == {"judgment_of_unknown_task": 1, "ranking_does_not_fit_task": 1, "gold_out_of_range": 1}


def test_contradicting_gold_cancels() -> None:
    votes = collect_votes([Task.make("p", ("x", "y"), gold=0), TURNED], [])
    assert math.isnan(votes.gold[0])
    assert votes.dropped == {"gold_conflict": 1}


def test_unknown_order_is_zero() -> None:
    votes = collect_votes([PAIR], [judge(PAIR, "r", Choice.prefer(0, 1), ())])
    assert votes.shown.tolist() == [0.0]


def test_majority_share_is_smoothed() -> None:
    tasks = [PAIR, Task.make("q", ("x", "y"))]
    votes = collect_votes(tasks, [judge(PAIR, f"r{i}", Choice.prefer(0, 1)) for i in range(3)])
    np.testing.assert_allclose(majority_share(votes), [3.5 / 4.0, 0.5])


def test_moments_are_in_order_of_time_whatever_their_zone() -> None:
    stamps = ["2026-01-01T10:00:00+05:00", "2026-01-01T06:00:00Z", "never", "2026-01-01T04:59:00"]
    votes = collect_votes([PAIR], [judge(PAIR, f"r{k}", Choice.prefer(0, 1), at=at) for k, at in enumerate(stamps)])
    assert votes.times == (stamps[3], stamps[0], stamps[1], stamps[2])
    assert [votes.times[place] for place in votes.time] == stamps
