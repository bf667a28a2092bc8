"""Approvals for asyncio: blocking work goes to threads, waiting does not hold one."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from backstay.guard.approvals.approval import Approval
from backstay.guard.approvals.service import Approvals
from backstay.guard.approvals.states import State
from backstay.guard.approvals.waiting import MAX_WAIT_S

P = ParamSpec("P")
T = TypeVar("T")


class AsyncApprovals:
    """`await do(approvals.ask, action)`, and a bounded long poll."""

    def __init__(self, approvals: Approvals) -> None:
        self.approvals = approvals

    async def do(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method of `approvals` in a thread. A caller that goes away loses the answer, never the row."""
        return await asyncio.shield(asyncio.ensure_future(asyncio.to_thread(method, *args, **kwargs)))

    async def wait(self, approval_id: str, timeout_s: float) -> Approval:
        """As `Approvals.wait`; while nothing happens it costs a read now and then, and no thread."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + min(max(timeout_s, 0.0), MAX_WAIT_S)
        changed = asyncio.Event()
        with self.approvals.waiters.waiting(approval_id, lambda: _wake(loop, changed)):
            while True:
                changed.clear()
                approval = await asyncio.to_thread(self.approvals.get, approval_id)
                left_s = deadline_s - loop.time()
                if approval.state is not State.PENDING or left_s <= 0:
                    return approval
                await _either(changed, min(left_s, self.approvals.waiters.pause_s(self.approvals.poll_s)))


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)


async def _either(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
