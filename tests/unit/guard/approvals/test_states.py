"""The state machine against the drawing in the docs, and the rows that the database itself refuses to change."""

import re
from pathlib import Path

import pytest
from approval_world import World
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError as RowRefused

from backstay.errors import IntegrityError
from backstay.guard.approvals import REASONS, TERMINAL, TRANSITIONS, State
from backstay.guard.approvals.states import check_transition

DOCS = Path(__file__).parents[4] / "docs" / "guard" / "approvals.md"


def test_the_drawing_shows_every_transition_and_no_other() -> None:
    drawn = set(re.findall(r"^\s+(\w+) --> (\w+)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    assert drawn == {(str(before), str(after)) for before, afters in TRANSITIONS.items() for after in afters}


def test_every_state_is_reached_and_nothing_leaves_a_terminal_one() -> None:
    reached = {State.PENDING}.union(*TRANSITIONS.values())
    assert reached == set(State)
    for before in TERMINAL:
        for after in State:
            with pytest.raises(IntegrityError, match=f"from {before} to {after}"):
                check_transition(before, after)


def test_the_database_keeps_terminal_states_votes_and_rows(world: World) -> None:
    held = world.ask()
    world.vote(held, "alice", "deny")
    for statement in (
        "UPDATE approvals SET state = 'approved'",
        "DELETE FROM approvals",
        "UPDATE approval_votes SET vote = 'approve'",
        "DELETE FROM approval_votes",
        "DELETE FROM approval_outbox",
    ):
        with world.ledger.engine.connect() as connection, pytest.raises(RowRefused, match="never"):
            connection.execute(text(statement))


def test_the_page_names_every_refusal_with_its_status_and_cure() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \| (\d+) \| (.+) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows == {(code, str(reason.status), reason.cure) for code, reason in REASONS.items()}


def test_the_page_names_every_invariant_and_tests_that_exist() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert re.findall(r"^\| (I\d+) \|", text, re.MULTILINE) == [f"I{n}" for n in range(1, 15)]
    root = DOCS.parents[2]
    for name in re.findall(r"\b((?:unit|property)/[\w/]+\.py|test_\w+\.py)", text):
        place = root / "tests" / name if "/" in name else Path(__file__).with_name(name)
        assert place.is_file(), name
