"""How often one principal may ask: a bucket of tokens each, in memory."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_TRACKED = 20_000
"""Buckets kept; the one that was used longest ago makes way."""


class Buckets:
    """Buckets of `burst` tokens that fill by `per_s`; each request takes one."""

    def __init__(self, per_s: float, burst: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock_s = per_s, burst, clock_s
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str) -> int:
        """0 where the request is let through; else the seconds until one is."""
        now_s = self._clock_s()
        with self._lock:
            left, at_s = self._left.get(who, (float(self._burst), now_s))
            left = min(float(self._burst), left + (now_s - at_s) * self._per_s)
            wait_s = 0 if left >= 1 else math.ceil((1 - left) / self._per_s)
            self._left[who] = (left if wait_s else left - 1, now_s)
            self._left.move_to_end(who)
            if len(self._left) > MAX_TRACKED:
                self._left.popitem(last=False)
        return wait_s
