"""Raters who bend leases: a second vote on one item, many tasks at once, and asking which of them are gold."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from collection_world import World, verdict, world

from backstay.feedback.collection import (
    Assignment,
    ProjectSettings,
    Rejected,
    change_project,
    expire,
    find_assignment,
    renew,
    submit,
    undo,
)
from backstay.feedback.collection.choosing import Pick
from backstay.feedback.collection.items import find_item
from backstay.feedback.collection.leasing import lease
from backstay.feedback.collection.standing import change_status

TWICE = ProjectSettings(gold_share=0.0, repeat_share=0.0, votes=3, most_votes=3, prompts_again=2)


@pytest.fixture
def found(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, prompts=1, settings=TWICE) as made:
        yield made


def run_out(found: World) -> None:
    found.now_ms += 1000 * found.project.settings.lease_s + 1
    found.do(expire)


def answer(found: World, asked: Assignment, winner: int = 0) -> None:
    sent = verdict(asked, winner)
    found.do(lambda unit: submit(unit, asked.id, asked.rater_id, f"key-{asked.id}", sent, found.secret))


def test_a_task_that_ran_out_is_no_second_vote_on_its_item(found: World) -> None:
    late = found.next("r")
    run_out(found)
    again = found.judge("r", 0)
    assert again.item_id == late.item_id
    with pytest.raises(Rejected) as refused:
        answer(found, late)
    assert refused.value.code == "lease_over"
    with found.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT votes FROM items").scalar() == 1


def test_a_rater_does_not_collect_tasks_by_renewing_those_that_ran_out(tmp_path: Path) -> None:
    with world(tmp_path, prompts=3) as found:
        late = found.next("r")
        run_out(found)
        now = found.next("r")
        with pytest.raises(Rejected, match="another task"):
            found.do(lambda unit: renew(unit, late.id, "r"))
        with found.engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT sum(leased) FROM items").scalar() == 1
            kept = find_assignment(connection, now.id)
        assert kept is not None
        assert kept.state == "open"


def test_taking_back_tells_no_gold_item_whose_dispute_was_settled(tmp_path: Path) -> None:
    """Gold is often made of what reviewers settled; a vote can be taken back, so must an answer to that."""
    with world(tmp_path, prompts=2, gold=1) as found:
        with found.engine.connect() as connection:
            gold = str(connection.exec_driver_sql("SELECT item_id FROM gold_items").scalar())
        found.judge("other", 0)
        found.do(
            lambda unit: unit.connection.exec_driver_sql("UPDATE items SET state = 'settled' WHERE id = ?", (gold,))
        )
        with found.engine.connect() as connection:
            item = find_item(connection, "p", gold)
        assert item is not None
        settled = item
        found.next("r")
        run_out(found)
        drawn = Pick(gold, "gold", "gold", 0.1)
        asked = found.do(lambda unit: lease(unit, found.project, "r", settled, drawn, (0, 1)))
        answer(found, asked)
        undone = found.do(lambda unit: undo(unit, found.project, "r"))
        assert (undone.assignment.item_id, undone.assignment.purpose) == (gold, "gold")


def test_who_may_not_go_on_takes_nothing_back_and_answers_nothing_late(found: World) -> None:
    late = found.next("r")
    found.do(lambda unit: change_status(unit, found.project, "r", "requalify", "lead", "Look again."))
    for act in (lambda: answer(found, late), lambda: found.do(lambda unit: renew(unit, late.id, "r"))):
        with pytest.raises(Rejected) as refused:
            act()
        assert refused.value.code == "paused"
    found.do(lambda unit: change_status(unit, found.project, "r", "active", "lead", "Fine."))
    found.judge("r", 0)
    found.do(lambda unit: change_status(unit, found.project, "r", "paused", "lead", "Too fast."))
    with pytest.raises(Rejected, match="nothing more"):
        found.do(lambda unit: undo(unit, found.project, "r"))


def test_what_is_closed_loses_no_judgment_any_more(found: World) -> None:
    found.judge("r", 0)
    found.do(lambda unit: change_project(unit, found.project, "lead", status="closed"))
    with pytest.raises(Rejected, match="nothing more"):
        found.do(lambda unit: undo(unit, found.project, "r"))
