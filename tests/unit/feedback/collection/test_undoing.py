"""Undoing takes back what a judgment counted, keeps both records, and shows the task as it was shown."""

from pathlib import Path

import pytest
from collection_world import World, verdict, world

from backstay.feedback.collection import Item, RaterStats, Rejected, change_project, find_item, submit, undo
from backstay.feedback.collection.raters import stats_of, streak_days
from backstay.storage import SealLog, verify_journal


def standing(found: World, item_id: str) -> tuple[Item, RaterStats]:
    with found.engine.connect() as connection:
        item, stats = find_item(connection, "p", item_id), stats_of(connection, "p", "ann")
    assert item is not None and stats is not None
    return item, stats


def test_undo_leaves_the_counts_as_they_were(tmp_path: Path) -> None:
    with world(tmp_path, prompts=2, gold=2) as found:
        first = found.next("ann")
        before = standing(found, first.item_id)
        found.judge("ann", winner=0)
        assert standing(found, first.item_id)[1].gold_right == 1
        undone = found.do(lambda unit: undo(unit, found.project, "ann"))
        item, stats = standing(found, first.item_id)
        assert item == before[0]
        assert stats._replace(retracted=0, issued=1, last_at_ms=0) == before[1]._replace(last_at_ms=0)
        assert (stats.retracted, stats.issued) == (1, 3)
        assert undone.assignment.order_shown == first.order_shown and undone.assignment.item_id == first.item_id
        assert undone.answer == verdict(first, 0)
        with found.engine.connect() as connection:
            assert streak_days(connection, "p", "ann", found.now_ms) == (0, 0)
            patterns = connection.exec_driver_sql("SELECT sum(n_items) FROM vote_patterns").scalar()
        assert patterns == 0


def test_judgment_and_retraction_both_stay_and_one_vote_stands(tmp_path: Path) -> None:
    with world(tmp_path, prompts=2) as found:
        found.judge("ann", winner=0)
        again = found.do(lambda unit: undo(unit, found.project, "ann")).assignment
        assert found.repository.judgments("d") == []
        found.do(lambda unit: submit(unit, again.id, "ann", "key-again", verdict(again, 1), found.secret))
        (stands,) = found.repository.judgments("d")
        assert stands.choice.ranking == ((1,), (0,)) and len(found.repository.all_judgments("d")) == 2
        (retraction,) = found.repository.retractions("d")
        assert retraction.judgment_id != stands.id and retraction.rater_id == "ann"
        assert verify_journal(found.engine, SealLog(())).broken is None


def test_only_the_last_judgment_and_only_for_a_while(tmp_path: Path) -> None:
    with world(tmp_path, prompts=3) as found:
        found.judge("ann", winner=0)
        second = found.judge("ann", winner=0)
        again = found.do(lambda unit: undo(unit, found.project, "ann")).assignment
        assert again.item_id == second.item_id
        found.now_ms += 600_001 - 5000
        with pytest.raises(Rejected, match="no judgment that can still be taken back"):
            found.do(lambda unit: undo(unit, found.project, "ann"))
        assert len(found.repository.judgments("d")) == 1


def test_under_one_key_one_judgment_is_taken_back_however_often_it_is_sent(tmp_path: Path) -> None:
    with world(tmp_path, prompts=3) as found:
        first, second = found.judge("ann", winner=0), found.judge("ann", winner=1)
        undone = found.do(lambda unit: undo(unit, found.project, "ann", "key-undo-1"))
        again = found.do(lambda unit: undo(unit, found.project, "ann", "key-undo-1"))
        assert (undone.is_new, again.is_new) == (True, False)
        assert again[:2] == undone[:2]
        assert undone.answer == verdict(second, 1)
        assert len(found.repository.judgments("d")) == 1
        sent = verdict(undone.assignment, 0)
        found.do(lambda unit: submit(unit, undone.assignment.id, "ann", "key-late-1", sent, found.secret))
        late = found.do(lambda unit: undo(unit, found.project, "ann", "key-undo-1"))
        assert (late.assignment.id, late.assignment.state) == (undone.assignment.id, "judged")
        assert len(found.repository.judgments("d")) == 2
        other = found.do(lambda unit: undo(unit, found.project, "ann", "key-undo-2"))
        assert other.answer == sent and other.is_new
        with pytest.raises(Rejected):
            found.do(lambda unit: undo(unit, found.project, "bob", "key-undo-1"))
        assert first.item_id != second.item_id and len(found.repository.retractions("d")) == 2


def test_what_is_undone_after_midnight_goes_from_the_day_before(tmp_path: Path) -> None:
    with world(tmp_path, prompts=2) as found:
        found.next("ann")
        found.now_ms += 86_400_000 - found.now_ms % 86_400_000 - 6000
        found.judge("ann", winner=0)
        found.now_ms += 30_000
        found.do(lambda unit: undo(unit, found.project, "ann"))
        with found.engine.connect() as connection:
            assert streak_days(connection, "p", "ann", found.now_ms) == (0, 0)
        found.judge("ann", winner=0)
        with found.engine.connect() as connection:
            assert streak_days(connection, "p", "ann", found.now_ms) == (1, 1)


def test_nothing_is_taken_back_that_could_not_be_judged_again(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1) as found:
        found.judge("ann", winner=0)
        found.do(lambda unit: change_project(unit, found.project, "lead", status="closed"))
        with pytest.raises(Rejected, match="nothing more is taken here"):
            found.do(lambda unit: undo(unit, found.project, "ann"))
        assert len(found.repository.judgments("d")) == 1
