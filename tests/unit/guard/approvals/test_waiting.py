"""Waits end with the decision, are bounded, and wake across threads and processes."""

import asyncio
import contextlib
import threading
import time
from pathlib import Path

import pytest
from approval_world import REASON, World, action, needs, refused

from backstay.guard.approvals import (
    AsyncApprovals,
    Identity,
)
from backstay.guard.approvals.waiting import Waiters
from backstay.guard.ledger import Ledger


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


def test_many_who_wait_read_more_seldom() -> None:
    waiters = Waiters()
    with contextlib.ExitStack() as stack:
        for number in range(400):
            assert waiters.pause_s(0.5) == pytest.approx(max(0.5, number / 200))
            stack.enter_context(waiters.waiting(str(number), lambda: None))
    assert waiters.pause_s(0.5) == 0.5


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
