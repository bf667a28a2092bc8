"""How many tasks wait for a rater, counted against what the rater is then given."""

from pathlib import Path

import pytest
from collection_world import World, world

from backstay.feedback.collection import ProjectSettings, issue
from backstay.feedback.collection.choosing import CANDIDATES, left_for

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
