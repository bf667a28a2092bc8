"""Approvals stand the same in both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from approval_world import World, journal, needs, refused
from databases import Database
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from backstay.guard.approvals import Settings
from backstay.guard.approvals.states import State
from backstay.guard.approvals.store import Raced, count_broken, count_open, listed, load, overdue, recent, stamp, swap
from backstay.storage.engine import write_transaction


@pytest.fixture
def world(tmp_path: Path, database: Database) -> Iterator[World]:
    settings = Settings(webhooks=("pager",), escalate_after_s=600, escalate_to=("oncall",))
    made = World(tmp_path / "g.db" if database.server is None else database.url, settings)
    yield made
    made.close()


def test_from_asking_to_the_effect(world: World) -> None:
    held = world.ask()
    assert [world.vote(held, who) for who in ("alice", "bob")] == ["pending", "approved"]
    token = world.claim(held)
    with refused("already_used"):
        world.claim(held)
    assert world.approvals.finish(token, "executed").state == "executed"
    assert next(row["event"] for row in journal(world)) == "asked"
    with world.ledger.read() as connection:
        found = load(connection, held)
        assert found is not None and [vote.person for vote in found.votes] == ["alice", "bob"]
        assert count_open(connection, found.principal) == 0


def test_queries_find_what_they_are_for(world: World) -> None:
    first, second, late = world.ask(), world.ask(), world.ask(obligations=needs((1, "finance"), expires_s=300))
    with world.ledger.read() as connection:
        pending = [State.PENDING]
        assert [row.id for row in listed(connection, pending, "", 9)] == sorted((first, second, late))
        assert [row.id for row in recent(connection, pending, 1)] == [max(first, second, late)]
        assert stamp(connection, "") != stamp(connection, first) != ""
        now_ms = int(world.now_s * 1000)
        assert [row.id for row in overdue(connection, now_ms + 300_000, 9)] == [late]
        assert len(overdue(connection, now_ms + 600_000, 9)) == 3
        assert count_broken(connection, 0) == 0
    for who in ("erin", "frank"):
        world.vote(first, who, "break_glass")
    with world.ledger.read() as connection:
        assert (count_broken(connection, 0), count_broken(connection, int(world.now_s * 1000) + 1)) == (1, 0)


def test_a_row_that_changed_meanwhile_is_not_swapped(world: World) -> None:
    held = world.ask()
    with world.ledger.read() as connection:
        before = load(connection, held)
    assert before is not None
    world.vote(held, "alice", "deny")
    with pytest.raises(Raced), write_transaction(world.ledger.engine) as connection:
        swap(connection, before, {"state": State.APPROVED})
    assert world.state(held) == "denied"


def test_triggers_keep_what_has_ended(world: World) -> None:
    held = world.ask()
    world.vote(held, "alice", "deny")
    for statement, said in (
        ("UPDATE approvals SET state = 'approved'", "a terminal approval is never changed"),
        ("UPDATE approval_votes SET vote = 'approve'", "a vote is never changed"),
        ("DELETE FROM approval_votes", "rows of approval_votes are never deleted"),
        ("DELETE FROM approvals", "rows of approvals are never deleted"),
    ):
        with pytest.raises(DatabaseError, match=said), write_transaction(world.ledger.engine) as connection:
            connection.execute(text(statement))


def test_a_sweep_expires_and_escalates(world: World) -> None:
    late, held = world.ask(obligations=needs((1, "finance"), expires_s=300)), world.ask()
    world.now_s += 600
    assert world.approvals.sweep() == 2
    assert (world.state(late), world.state(held)) == ("expired", "pending")
