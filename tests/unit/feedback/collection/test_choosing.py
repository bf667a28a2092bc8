"""How many tasks wait for a rater, counted against what the rater is then given; what is drawn from."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from collection_world import World, world
from sqlalchemy import insert, select, update

from backstay.feedback.collection import Issued, ProjectSettings, issue, skip
from backstay.feedback.collection.choosing import CANDIDATES, left_for
from backstay.feedback.collection.items import gold_row
from backstay.feedback.selection import Candidates, GoldPool, choose
from backstay.feedback.selection.choose import Choice
from backstay.storage.console_tables import gold_items
from backstay.storage.unit import Unit

SETTINGS = ProjectSettings(gold_share=0.0, repeat_share=0.0, votes=2, most_votes=2)


def left(found: World, rater: str) -> int | None:
    with found.engine.connect() as connection:
        return left_for(connection, found.project, rater)


@pytest.mark.parametrize("again", [1, 2])
def test_it_counts_down_to_what_a_rater_is_given(tmp_path: Path, again: int) -> None:
    settings = SETTINGS.model_copy(update={"prompts_again": again})
    with world(tmp_path, prompts=4, settings=settings) as found:
        told = []
        while found.do(lambda unit: issue(unit, found.project, "r-ann", found.secret)).assignment is not None:
            told.append(left(found, "r-ann"))
            found.judge("r-ann", 0)
        assert told == [4, 3, 2, 1] and left(found, "r-ann") == 0 and left(found, "r-ben") == 4


def test_what_is_done_or_leased_to_somebody_else_does_not_wait(tmp_path: Path) -> None:
    with world(tmp_path, prompts=3, settings=SETTINGS.model_copy(update={"votes": 1, "most_votes": 1})) as found:
        found.judge("r-ann", 0)
        found.next("r-ann")
        assert (left(found, "r-ben"), left(found, "r-ann")) == (1, 2)


@pytest.mark.parametrize(("prompts", "told"), [(CANDIDATES - 1, CANDIDATES - 1), (CANDIDATES, None)])
def test_many_are_not_counted(tmp_path: Path, prompts: int, told: int | None) -> None:
    with world(tmp_path, prompts=prompts, settings=SETTINGS) as found:
        assert left(found, "r-ann") == told


def test_gold_along_two_dimensions_is_no_likelier_to_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pools: list[GoldPool] = []

    def seen(candidates: Candidates, gold: GoldPool, *rest: Any) -> Choice | None:
        pools.append(gold)
        return choose(candidates, gold, *rest)

    monkeypatch.setattr("backstay.feedback.collection.choosing.choose", seen)
    settings = SETTINGS.model_copy(update={"dimensions": ("overall", "honest"), "gold_share": 0.5})
    with world(tmp_path, prompts=6, gold=2, settings=settings) as found:
        first = found.do(lambda unit: unit.connection.execute(select(gold_items.c.item_id)).scalars().first())
        found.do(
            lambda unit: unit.connection.execute(
                insert(gold_items), [gold_row(unit, found.project, first or "", "honest", 0)]
            )
        )
        found.next("r-ann")
    assert [len(pool.exposure) for pool in pools] == [2]


def test_who_knows_gold_is_asked_none_of_it(tmp_path: Path) -> None:
    """Neither as gold nor as a vote, be it retired; and is told so many fewer."""
    settings = SETTINGS.model_copy(update={"gold_share": 0.5})
    with world(tmp_path, prompts=8, gold=3, settings=settings) as found:
        gold = found.do(lambda unit: unit.connection.execute(select(gold_items.c.item_id)).scalars().all())
        retired = update(gold_items).where(gold_items.c.item_id == gold[0]).values(state="retired")
        found.do(lambda unit: unit.connection.execute(retired))

        def asked(rater: str, *, knows_gold: bool) -> list[tuple[str, str]]:
            def take(unit: Unit) -> Issued:
                return issue(unit, found.project, rater, found.secret, knows_gold=knows_gold)

            every: list[tuple[str, str]] = []
            while (task := found.do(take).assignment) is not None:
                every.append((task.item_id, task.purpose))
                found.do(partial(skip, assignment_id=task.id, rater_id=rater, key=f"key-{task.id}", reason="other",
                                 note="", secret=found.secret, knows_gold=knows_gold))  # fmt: skip
            return every

        with found.engine.connect() as connection:
            assert left_for(connection, found.project, "lead", knows_gold=True) == 5
        known, unknown = asked("lead", knows_gold=True), asked("r-ann", knows_gold=False)
    assert len(known) == 5 and {purpose for _, purpose in known} == {"vote"}
    assert not {item for item, _ in known} & set(gold)
    assert {item for item, _ in unknown} >= set(gold[1:])
