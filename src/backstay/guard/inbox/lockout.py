"""How often somebody may fail to prove who they are, by name and by address.

Tokens are random, so guessing is hopeless anyway; this bounds the noise. A name alone has a much higher limit than a
name from one address: else anybody could lock an approver out by failing in their name.
"""

import ipaddress
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

WINDOW_S = 900.0
MOST = {"pair": 5, "address": 20, "name": 100}
"""Failures within the window after which no attempt is looked at, right or wrong."""

MAX_TRACKED = 20_000
"""Counters kept; the one that was used longest ago makes way."""


class Attempts:
    """Failures of the last quarter of an hour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._failures: OrderedDict[tuple[str, str, str], deque[float]] = OrderedDict()

    def wait_s(self, name: str, address: str) -> int:
        """0 where an attempt is looked at; else the seconds until one is."""
        now_s = self._clock()
        with self._lock:
            return max((self._left_s(key, now_s) for key in _keys(name, address)), default=0)

    def failed(self, name: str, address: str) -> None:
        """Count a failure."""
        now_s = self._clock()
        with self._lock:
            for key in _keys(name, address):
                times = self._failures.setdefault(key, deque(maxlen=MOST[key[0]]))
                times.append(now_s)
                self._failures.move_to_end(key)
            while len(self._failures) > MAX_TRACKED:
                self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of this name from this address."""
        with self._lock:
            self._failures.pop(_keys(name, address)[0], None)

    def _left_s(self, key: tuple[str, str, str], now_s: float) -> int:
        times = self._failures.get(key)
        if times is None or len(times) < MOST[key[0]]:
            return 0
        return max(0, math.ceil(times[0] + WINDOW_S - now_s))


def _keys(name: str, address: str) -> tuple[tuple[str, str, str], ...]:
    name, network = name[:200], network_of(address)
    return (("pair", name, network), ("address", "", network), ("name", name, ""))


def network_of(address: str) -> str:
    """An address as it is counted: of IPv6 the first 64 bits, which one customer has to itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
