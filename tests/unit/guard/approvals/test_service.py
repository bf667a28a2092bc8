"""Waiting, sweeping, restarts, the journal against the tables, and a database that is not there."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from approval_world import REASON, World, action, journal, needs, refused

from backstay.errors import ResourceError
from backstay.guard.approvals import (
    AsyncApprovals,
    Current,
    HeldAction,
    Identity,
    Settings,
    State,
    digest_of,
    first_difference,
)
from backstay.guard.approvals.waiting import Waiters
from backstay.guard.ledger import Ledger


def test_the_digest_is_of_canonical_json_of_what_binds() -> None:
    held = action({"b": 1.0, "a": "\u20ac"}, needs((1, "x"), expires_s=60.0))
    by_hand = (
        '{"action":"call","args":{"a":"\u20ac","b":1},"obligations":[{"expires_s":60,"k":1,"name":"require_approval",'
        '"of":["x"]}],"owner":"olga","policy":"' + "9" * 64 + '","principal":"svc-Rita","resource":"account/7",'
        '"session":"s1","tool":"bank.transfer","tool_schema":"' + "5" * 64 + '"}'
    )
    import hashlib

    assert digest_of(held.content()) == hashlib.sha256(by_hand.encode()).hexdigest()


@pytest.mark.parametrize(
    "name",
    ["principal", "owner", "session", "action", "tool", "tool_schema", "resource", "policy", "args", "obligations"],
)
def test_a_change_of_anything_that_binds_is_another_digest(name: str) -> None:
    other: Any = {"args": {"amount": 101, "to": "DE89"}, "obligations": needs((3, "finance"))}.get(name, "x")
    assert digest_of(action(**{name: other}).content()) != digest_of(action().content())


def test_a_wait_ends_with_the_decision_and_soon(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "g.db", keys_dir=tmp_path / "keys") as ledger:
        world = World(tmp_path / "g.db", ledger=ledger)
        world.approvals.poll_s = 30.0
        held = world.ask(obligations=needs((1, "finance")))
        thread = threading.Thread(target=world.vote, args=(held, "alice"))
        began_s = time.monotonic()
        thread.start()
        assert world.approvals.wait(held, 30).state == "approved"
        assert time.monotonic() - began_s < 15
        thread.join()


def test_a_wait_sees_what_another_process_decided(world: World) -> None:
    held = world.ask(obligations=needs((1, "finance")))
    waiting = world.approvals
    other = world.restarted()
    waiting.poll_s = 0.001
    timer = threading.Timer(0.0, lambda: other.cancel(held, "olga"))
    timer.start()
    assert waiting.wait(held, 30).state == "cancelled"
    timer.join()


def test_a_wait_is_bounded(world: World) -> None:
    held = world.ask()
    assert world.approvals.wait(held, 0).state == "pending"
    assert world.approvals.wait(held, -5).state == "pending"
    with refused("not_found"):
        world.approvals.wait("nothing", 1)
    world.now_s += 3600
    assert world.approvals.wait(held, 30).state == "expired"


def test_only_so_many_may_wait() -> None:
    waiters = Waiters(most=1)
    with waiters.waiting("a", lambda: None), refused("too_many"), waiters.waiting("a", lambda: None):
        pass
    assert waiters._wake == {}


def test_asyncio_waits_without_a_thread_and_wakes(world: World) -> None:
    async def run() -> tuple[str, str]:
        approvals = AsyncApprovals(world.approvals)
        world.approvals.poll_s = 30.0
        held = await approvals.do(world.approvals.ask, action(obligations=needs((1, "finance"))))
        waiting = asyncio.create_task(approvals.wait(held.id, 30))
        while not world.approvals.waiters._wake:  # noqa: ASYNC110  nothing tells when a wait has begun
            await asyncio.sleep(0)
        await approvals.do(
            world.approvals.decide, held.id, Identity("bob", "token"), "approve", held.digest, REASON, "k"
        )
        first = (await waiting).state
        return first, (await approvals.wait(held.id, 0)).state

    assert asyncio.run(asyncio.wait_for(run(), 20)) == ("approved", "approved")


def test_a_sweep_expires_gives_up_and_escalates_and_approves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db", Settings(escalate_after_s=600, escalate_to=("oncall",)))
    late, used = world.ask(obligations=needs((1, "finance"), expires_s=300)), world.ask()
    held = world.ask(obligations=needs((1, "finance"), (1, "security")))
    for who in ("alice", "bob"):
        world.vote(used, who)
    world.claim(used, lease_s=400)
    world.vote(held, "alice")
    with refused("not_eligible"):
        world.vote(held, "gina")
    world.now_s += 599
    assert world.approvals.sweep() == 2
    assert [world.state(each) for each in (late, used, held)] == ["expired", "unknown", "pending"]
    world.now_s += 1
    assert (world.approvals.sweep(), world.approvals.sweep()) == (1, 0)
    assert world.state(held) == "pending"
    assert world.approvals.get(held).digest == digest_of(world.approvals.get(held).content)
    assert world.vote(held, "gina") == "approved"
    world.close()


def test_a_large_sweep_goes_on_until_all_is_done(tmp_path: Path) -> None:
    world = World(tmp_path / "g.db", Settings(max_open=1000))
    for _ in range(450):
        world.ask()
    world.now_s += 3600
    assert world.approvals.sweep() == 450
    assert world.approvals.list() == []
    world.close()


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


def test_each_row_of_the_journal_says_what_and_whose(world: World) -> None:
    held = world.ask(key="k")
    world.vote(held, "alice")
    asked, vote = journal(world)
    assert (asked["event"], asked["by"], asked["to"], asked["tool"]) == (
        "asked",
        "svc-Rita",
        "pending",
        "bank.transfer",
    )
    assert (vote["by"], vote["vote"], vote["reason"], vote["roles"]) == ("alice", "approve", REASON, ["finance"])
    assert "DE89" not in json.dumps(journal(world))


FORGERIES = (
    "UPDATE approvals SET state = 'approved'",
    "UPDATE approvals SET version = 9",
    "UPDATE approvals SET record = replace(record, 'DE89', 'DE66')",
    """INSERT INTO approval_votes SELECT approval_id, digest, 'bob', vote, 9, roles, reason, 'k9', at_ms
    FROM approval_votes""",
    """INSERT INTO approvals SELECT 'x', state, version, digest, principal, 'k', expires_at_ms, escalate_at_ms,
    lease_until_ms, record FROM approvals""",
)


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_was_forged_in_the_tables_is_found_by_the_journal(world: World, forgery: str) -> None:
    world.vote(world.ask(), "alice")
    with world.ledger.engine.connect() as connection:
        assert first_difference(connection) is None
        connection.exec_driver_sql(forgery)
        assert "approval " in str(first_difference(connection))


def test_a_held_action_is_masked_only_where_policy_says(world: World) -> None:
    held: HeldAction = action()
    assert held.masked(lambda _: "x") is held


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
