"""Figures that take a while to count, counted once for many who look."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
MOST_KEPT = 500


class Kept(Generic[K, V]):
    """Values by key. `count` makes one, and `keeps_s` says for how many seconds one holds that took so many."""

    def __init__(self, count: Callable[[K], Awaitable[V]], keeps_s: Callable[[float], float]) -> None:
        self._count, self._keeps_s = count, keeps_s
        self._values: dict[K, tuple[float, V]] = {}
        self._tasks: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, wait_s: float | None = None) -> V | None:
        """The value. An old one is given at once, while a new one is counted for the next who ask.

        Where there is none yet, whoever asks waits, for at most `wait_s` seconds, and gets None after that. Raises what
        counting raises.
        """
        until, kept = self._values.get(key, (0.0, None))
        if kept is not None and time.monotonic() < until:
            return kept
        task = self._task(key)
        if kept is not None:
            return kept
        done, _ = await asyncio.wait([task], timeout=wait_s)
        return task.result() if done else None

    def _task(self, key: K) -> "asyncio.Task[V]":
        task = self._tasks.get(key)
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._tasks[key] = asyncio.ensure_future(self._counted(key))
            task.add_done_callback(_noticed)
        return task

    async def _counted(self, key: K) -> V:
        began = time.monotonic()
        try:
            found = await self._count(key)
        finally:
            self._tasks.pop(key, None)
        if len(self._values) >= MOST_KEPT:
            self._values.clear()
        self._values[key] = (time.monotonic() + self._keeps_s(time.monotonic() - began), found)
        return found


def _noticed(task: "asyncio.Task[V]") -> None:
    """Whoever waits for the task gets its error; where nobody does, the next who asks has it counted again."""
    if not task.cancelled():
        task.exception()
