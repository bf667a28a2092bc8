"""A wall clock that never goes back, within a process and across processes that share a database."""

import threading
import time
from collections.abc import Callable


class Clock:
    """Milliseconds since 1970. When the wall clock is set back, time goes on from the latest moment that was seen.

    Standing still would not do: what should expire would live on until the wall clock has caught up. So time advances
    at the pace of the monotonic clock at least.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._lock = threading.Lock()
        self._latest_ms, self._at_s = 0, monotonic()

    def now_ms(self, seen_ms: int = 0) -> int:
        """The time, at least `seen_ms`: what the database holds as the latest moment anybody has seen."""
        with self._lock:
            at_s = self._monotonic()
            advanced_ms = self._latest_ms + int(max(0.0, at_s - self._at_s) * 1000)
            self._latest_ms = max(int(self._wall() * 1000), seen_ms, advanced_ms)
            self._at_s = at_s
            return self._latest_ms
