"""Restarts, lists, and a database or a directory that is not there."""

from collections.abc import Callable
from typing import Any

import pytest
from approval_world import REASON, World, action, needs

from backstay.errors import ResourceError
from backstay.guard.approvals import (
    Current,
    Identity,
    State,
)


def test_pages_of_a_list_are_in_order_and_complete(world: World) -> None:
    ids = [world.ask() for _ in range(5)]
    first = world.approvals.list(limit=3)
    rest = world.approvals.list(after=first[-1].id)
    assert [approval.id for approval in first + rest] == sorted(ids)
    assert world.approvals.list((State.DENIED,)) == []


def test_a_restart_loses_nothing(world: World) -> None:
    held = world.ask(rules=("r1",), reasons=("over 50",), exchange="e", key="k")
    world.vote(held, "alice")
    before = world.approvals.get(held)
    assert world.restarted().get(held) == before
    assert world.vote(held, "bob") == "approved"


@pytest.mark.parametrize(
    "attempt", ["ask", "get", "decide", "claim", "finish", "cancel", "edit", "sweep", "wait", "link"]
)
def test_no_database_no_permission(world: World, attempt: str) -> None:
    held = world.ask(obligations=needs((1, "finance")))
    digest = world.approvals.get(held).digest
    world.vote(held, "alice")
    approvals, alice = world.approvals, Identity("alice", "token")
    world.ledger.down = True
    attempts: dict[str, Callable[[], object]] = {
        "ask": lambda: approvals.ask(action()),
        "get": lambda: approvals.get(held),
        "decide": lambda: approvals.decide(held, alice, "deny", digest, REASON, "k"),
        "claim": lambda: approvals.claim(held, digest, Current("hold", action()), "w"),
        "finish": lambda: approvals.finish(f"{held}.x", "executed"),
        "cancel": lambda: approvals.cancel(held, "olga"),
        "edit": lambda: approvals.edit(held, alice, {}, digest),
        "sweep": approvals.sweep,
        "wait": lambda: approvals.wait(held, 1),
        "link": lambda: approvals.make_link(held, "alice"),
    }
    with pytest.raises(ResourceError):
        attempts[attempt]()
    world.ledger.down = False
    assert world.state(held) == "approved"


def test_broken_approvers_let_nobody_decide(world: World) -> None:
    def broken() -> Any:
        raise ResourceError("no directory")

    held = world.ask()
    world.approvals._directory = broken
    with pytest.raises(ResourceError):
        world.vote(held, "alice")


def test_recent_are_newest_first_and_as_they_count_now(world: World) -> None:
    asked = [world.ask(key=f"k{number}") for number in range(4)]
    for approval_id in asked[:2]:
        world.vote(approval_id, "alice", "deny")
    denied = world.approvals.recent((State.DENIED,))
    assert [approval.id for approval in denied] == asked[1::-1]
    assert [approval.id for approval in world.approvals.recent((State.PENDING, State.DENIED), limit=3)] == asked[:0:-1]
    world.now_s += 3600
    assert {str(approval.state) for approval in world.approvals.recent((State.PENDING,))} == {"expired"}


def test_stamp_changes_with_every_change_and_with_nothing_else(world: World) -> None:
    first = world.ask()
    stamps = [(world.approvals.stamp(), world.approvals.stamp(first))]
    world.approvals.get(first)
    assert (world.approvals.stamp(), world.approvals.stamp(first)) == stamps[0]
    world.vote(first, "alice")
    stamps.append((world.approvals.stamp(), world.approvals.stamp(first)))
    world.vote(first, "bob")
    stamps.append((world.approvals.stamp(), world.approvals.stamp(first)))
    assert len({of_list for of_list, _ in stamps}) == len({of_one for _, of_one in stamps}) == 3
    before = world.approvals.stamp(first)
    world.ask(key="another")
    assert world.approvals.stamp() not in {of_list for of_list, _ in stamps}
    assert world.approvals.stamp(first) == before
