"""A change of settings reaches the items that stand, page by page, and goes on where a process was ended."""

from pathlib import Path
from typing import Any

import pytest
from collection_world import World, verdict, world
from recount import check_counts, check_settled

from backstay.feedback.collection import ProjectSettings, change_project, submit
from backstay.feedback.collection import resettling as module
from backstay.feedback.collection.adjudicating import open_dispute
from backstay.feedback.collection.deciders import Decider
from backstay.feedback.collection.items import item_of
from backstay.feedback.collection.resettling import changes_waiting, resettle_page
from backstay.records import Task
from backstay.storage.console_tables import gold_items, items

TWO = ProjectSettings(votes=2, most_votes=2, gold_share=0.0, repeat_share=0.0)


def change(found: World, **values: Any) -> int:
    """Change settings; the change that waits."""
    settings = found.project.settings.model_copy(update=values)
    found.do(lambda unit: change_project(unit, found.project, "lead", settings=settings))
    return waiting(found)["p"]


def waiting(found: World) -> dict[str, int]:
    with found.engine.connect() as connection:
        return changes_waiting(connection)


def states(found: World) -> list[tuple[str, int]]:
    with found.engine.connect() as connection:
        check_counts(connection)
        return sorted((item.state, item.wants) for item in map(item_of, connection.execute(items.select()).mappings()))


def test_wanted_votes_raised_reopen_items_and_lowered_end_them(tmp_path: Path) -> None:
    with world(tmp_path, prompts=2, settings=TWO) as found:
        for rater in ("ann", "bob"):
            found.judge(rater, winner=0)
            found.judge(rater, winner=0)
        assert states(found) == [("done", 0)] * 2
        seq = change(found, votes=3, most_votes=3)
        assert found.do(lambda unit: resettle_page(unit, "p", seq)) is None
        assert states(found) == [("open", 1)] * 2 and waiting(found) == {}
        found.next("cid")
        seq = change(found, votes=1, most_votes=1)
        found.do(lambda unit: resettle_page(unit, "p", seq))
        assert states(found) == [("done", 0)] * 2


def test_change_that_was_left_half_done_waits_and_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    with world(tmp_path, prompts=5, settings=TWO) as found:
        seq = change(found, votes=4, most_votes=4)
        first = found.do(lambda unit: resettle_page(unit, "p", seq))
        assert first and waiting(found) == {"p": seq}
        assert states(found) == [("open", 2)] * 3 + [("open", 4)] * 2
        again = change(found, votes=5, most_votes=5)
        for after in ("", first):
            place: str | None = after
            while place is not None:
                place = found.do(lambda unit, a=place: resettle_page(unit, "p", seq, a))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        assert waiting(found) == {"p": again}  # The end of the earlier change is not the end of the later one.
        assert states(found) == [("open", 5)] * 5


def test_new_dimension_gets_tasks_gold_and_votes(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1, settings=TWO) as found:
        for rater in ("ann", "bob"):
            found.judge(rater, winner=0)
        (asked,) = found.repository.tasks("d")
        with found.repository.batch() as batch:
            batch.add_tasks("d", [Task.make(asked.prompt_id, asked.response_ids, dimension="helpful", gold=1)])
        seq = change(found, dimensions=("helpful", "harmless"), most_votes=3)
        found.do(lambda unit: resettle_page(unit, "p", seq))
        found.do(lambda unit: resettle_page(unit, "p", seq))
        assert states(found) == [("open", 1)]
        assert {task.dimension for task in found.repository.tasks("d")} == {"overall", "helpful", "harmless"}
        with found.engine.connect() as connection:
            check_settled(connection)
            rows = connection.execute(gold_items.select()).all()
        assert [(row.dimension, row.best) for row in rows] == [("helpful", 1)]
        held = found.next("cid")
        sent = verdict(held, 1, "helpful", "harmless")
        found.do(lambda unit: submit(unit, held.id, "cid", "key-0001", sent, found.secret))
        assert states(found) == [("done", 0)]
        assert len(found.repository.judgments("d")) == 4


def test_task_is_asked_along_a_dimension_that_its_item_has_not_got_yet(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1, settings=TWO) as found:
        held = found.next("ann")
        change(found, dimensions=("helpful",))
        assert found.next("ann").id == held.id
        found.do(lambda unit: submit(unit, held.id, "ann", "key-0001", verdict(held, 0, "helpful"), found.secret))
        with found.engine.connect() as connection:
            check_counts(connection)
        (stored,) = found.repository.judgments("d")
        assert stored.task_id == Task.make(held.prompt_id, _responses(found), dimension="helpful").id


def test_dispute_that_a_person_opened_stays_and_one_of_votes_goes_back(tmp_path: Path) -> None:
    with world(tmp_path, prompts=2, settings=TWO) as found:
        for rater, winners in (("ann", (0, 0)), ("bob", (0, 1))):
            for winner in winners:
                found.judge(rater, winner)
        with found.engine.connect() as connection:
            every = [item_of(row) for row in connection.execute(items.select()).mappings()]
        (done,) = [item.id for item in every if item.state == "done"]
        found.do(lambda unit: open_dispute(unit, found.project, done, Decider("rev", "r"), "Odd"))
        assert states(found) == [("disputed", 0)] * 2
        seq = change(found, votes=3, most_votes=3)
        found.do(lambda unit: resettle_page(unit, "p", seq))
        assert states(found) == [("disputed", 0), ("open", 1)]


def _responses(found: World) -> tuple[str, ...]:
    return next(task.response_ids for task in found.repository.tasks("d"))
