"""Bounded long polls: a page asks to be told when what it shows has changed. One look serves everybody who waits."""

import asyncio
import hashlib
import time
from collections.abc import Callable

WAIT_S = 25.0
LOOK_S = 1.0
MOST_WAITING = 200
_MOST_KEPT = 1000


class Watch:
    """Stamps of what is pending, and of single approvals, at most `LOOK_S` old."""

    def __init__(self, look: Callable[[str], str], is_stopping: Callable[[], bool]) -> None:
        self._look, self._is_stopping = look, is_stopping
        self._seen: dict[str, tuple[float, asyncio.Task[str]]] = {}
        self._waiting = 0

    async def stamp(self, about: str = "", *, fresh: bool = True) -> str:
        """What the database says now; not `fresh`, what it said within the last second."""
        now_s = time.monotonic()
        kept = self._seen.get(about)
        if fresh or kept is None or now_s - kept[0] >= LOOK_S:
            if len(self._seen) >= _MOST_KEPT:
                self._seen.clear()
            kept = self._seen[about] = (now_s, asyncio.ensure_future(asyncio.to_thread(self._look, about)))
        found = await asyncio.shield(kept[1])
        return hashlib.sha256(found.encode()).hexdigest()[:16]

    async def changed(self, about: str, seen: str, wait_s: float = WAIT_S) -> str:
        """The stamp, once it is not `seen` or the wait is over; at once where too many wait already."""
        deadline_s = time.monotonic() + wait_s
        self._waiting += 1
        try:
            while True:
                found = await self.stamp(about, fresh=False)
                late = time.monotonic() >= deadline_s or self._waiting > MOST_WAITING or self._is_stopping()
                if found != seen or late:
                    return found
                await asyncio.sleep(LOOK_S)
        finally:
            self._waiting -= 1
