"""Gold is retired when its late answers are too good: by Fisher's exact test where raters are alike."""

import json
from math import comb
from pathlib import Path

import pytest
from collection_world import World, world
from sqlalchemy import update

from backstay.feedback.collection import ProjectSettings, undo
from backstay.feedback.collection.gold_keeping import Gold, gold_list
from backstay.storage.console_tables import rater_stats
from backstay.storage.decisions import gold_decisions
from backstay.storage.journal import read_entries

ONE_ITEM = ProjectSettings(gold_share=0.0, repeat_share=0.0, votes=40, most_votes=40)


def gold(found: World) -> Gold:
    with found.engine.connect() as connection:
        (row,) = gold_list(connection, "p")
    return row


def answer(found: World, right: list[bool]) -> None:
    """Each answer is by a rater of its own; response 0 is gold."""
    for place, is_right in enumerate(right):
        found.judge(f"r-{place:02}", winner=0 if is_right else 1)


@pytest.mark.parametrize(("early", "leaked"), [(0, True), (1, True), (2, False), (8, False)])
def test_late_answers_that_are_too_good_retire_the_item(tmp_path: Path, early: int, leaked: bool) -> None:
    """Of raters who are alike, P(all 8 late ones right | 8 + early right of 16) = C(8, early) / C(16, 8 + early)."""
    assert (comb(8, early) / comb(16, 8 + early) <= 0.01 / 4) is leaked
    with world(tmp_path, prompts=1, gold=1, settings=ONE_ITEM) as found:
        answer(found, [n < early for n in range(8)] + [True] * 7)
        assert gold(found).state == "active"
        found.judge("r-last", winner=0)
        row = gold(found)
        assert (row.state, row.exposures, row.right) == ("retired" if leaked else "active", 16, 8 + early)
        with found.engine.connect() as connection:
            told = [json.loads(entry.payload) for entry in read_entries(connection, "console.gold")]
            assert list(gold_decisions(connection, "d").values()) == [0], "its answer stays true"
        assert len(told) == leaked
    if leaked:
        why = f"leaked: of the first 8 answers along overall {early} were right, of the last 8 8"
        assert (row.why, row.author, told[0]["reason"], told[0]["by"]) == (why, "console", why, "console")
        assert (told[0]["did"], told[0]["item"], told[0]["before"]) == (
            "retire",
            row.item_id,
            {"best": 0, "state": "active"},
        )


def test_better_raters_are_no_leak(tmp_path: Path) -> None:
    with world(tmp_path, prompts=1, gold=1, settings=ONE_ITEM) as found:
        raters = [f"r-{n:02}" for n in range(16)]
        for rater in raters:
            found.next(rater)
        for place, rater in enumerate(raters):
            known = {"gold_seen": 100, "gold_right": 20 if place < 8 else 98}
            mine = update(rater_stats).where(rater_stats.c.rater_id == rater).values(known)
            found.do(lambda unit, change=mine: unit.connection.execute(change))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        answer(found, [False] * 8 + [True] * 8)
        assert (gold(found).exposures, gold(found).state) == (16, "active")


def test_a_retired_item_is_asked_as_gold_no_more_and_its_answer_can_still_be_undone(tmp_path: Path) -> None:
    settings = ProjectSettings(gold_share=0.5, repeat_share=0.0, votes=40, most_votes=40, prompts_again=1)
    with world(tmp_path, prompts=2, gold=1, settings=settings) as found:
        item, place = gold(found).item_id, 0
        while gold(found).state == "active":
            rater = f"r-{place:02}"
            task = found.next(rater)
            found.judge(rater, winner=1 if task.item_id == item and gold(found).exposures < 8 else 0)
            place += 1
            assert place < 60
        before = gold(found)
        assert before.exposures == 16
        found.do(lambda unit: undo(unit, found.project, rater))
        after = gold(found)
        assert (after.exposures, after.right, after.state) == (15, before.right - 1, "retired")
        assert {found.next(f"s-{n}").purpose for n in range(20)} == {"vote"}
