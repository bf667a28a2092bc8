"""Rates, budgets and numbers at the same time, for each key; and the limits that rules set."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.keys import Budget, Principal
from backstay.policy import Limit, WindowedCounter

MAX_TRACKED = 100_000


class Rate:
    """At most `per_minute` in any run of requests, evenly refilled (GCRA), with a burst of a tenth of a minute's."""

    def __init__(self, per_minute: int) -> None:
        self._gap_s = 60 / per_minute
        self._burst_s = self._gap_s * max(1.0, per_minute / 10)
        self._due_s = -math.inf

    def wait_s(self, now_s: float) -> float:
        """0 where a request may go now, which is then counted; else the seconds until one may."""
        due = max(self._due_s, now_s)
        late = due + self._gap_s - (now_s + self._burst_s)
        if late > 1e-9:
            return late
        self._due_s = due + self._gap_s
        return 0.0


class Limits:
    """What every key has used; `clock` is monotonic for rates, and wall time for budgets, which outlive a restart."""

    def __init__(
        self,
        in_flight: int,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._most, self._monotonic, self._clock = in_flight, monotonic, clock
        self._running: Counter[str] = Counter()
        self._reading: Counter[str] = Counter()
        self._rates: dict[str, tuple[int, Rate]] = {}
        self._budgets: dict[str, tuple[Budget, WindowedCounter]] = {}
        self._ruled: dict[tuple[str, str, float], WindowedCounter] = {}

    @property
    def in_flight(self) -> int:
        """Requests that run now."""
        return self._running.total()

    @contextmanager
    def admitted(self, principal: Principal) -> Iterator[None]:
        """Count a request while it runs; raises ApiFault 429 where it is one too many."""
        self._admit(principal)
        self._running[principal.id] += 1
        try:
            yield
        finally:
            self._running[principal.id] -= 1
            if not self._running[principal.id]:
                del self._running[principal.id]

    @property
    def reading(self) -> int:
        """Requests whose bodies are still coming."""
        return self._reading.total()

    @contextmanager
    def read(self, principal: Principal) -> Iterator[None]:
        """Count a request while its body comes; raises ApiFault 429 where it is one too many."""
        most = self._most if principal.key is None else principal.key.concurrent or self._most
        if self.reading >= self._most or self._reading[principal.id] >= most:
            raise _too_many(f"the bodies of {self.reading} requests are still coming", 1.0)
        self._reading[principal.id] += 1
        try:
            yield
        finally:
            self._reading[principal.id] -= 1
            if not self._reading[principal.id]:
                del self._reading[principal.id]

    def spend(self, principal: Principal, tokens: int, at: float | None = None) -> None:
        """Count tokens against the key's budget, where it has one."""
        window = self._budget(principal)
        if window is not None:
            window.add(tokens, self._clock() if at is None else at)

    def within(self, principal: Principal, what: str, limit: Limit) -> bool:
        """Whether one more of `what` stays within a rule's limit; it is counted where it does."""
        key = (principal.id, what, limit.within_s)
        window = self._ruled.get(key)
        now_s = self._clock()
        if window is None:
            self._forget(now_s)
            window = self._ruled[key] = WindowedCounter(limit.within_s)
        if (window.value(now_s) or 0) >= limit.at_most:
            return False
        window.add(1, now_s)
        return True

    def _admit(self, principal: Principal) -> None:
        if self.in_flight >= self._most:
            raise _too_many(f"{self._most} requests run already", 1.0)
        key = principal.key
        if key is None:
            return
        if key.concurrent is not None and self._running[principal.id] >= key.concurrent:
            raise _too_many(f"{key.id} has {key.concurrent} requests running already", 1.0)
        budget = self._budget(principal)
        if budget is not None and key.budget and (budget.value(self._clock()) or 0) >= key.budget.tokens:
            raise ApiFault(429, "over_budget", f"{key.id} has used its {key.budget.tokens} tokens")
        if key.per_minute is not None:
            wait_s = self._rate(key.id, key.per_minute).wait_s(self._monotonic())
            if wait_s:
                raise _too_many(f"{key.id} may send {key.per_minute} requests a minute", wait_s)

    def _rate(self, name: str, per_minute: int) -> Rate:
        known = self._rates.get(name)
        if known is None or known[0] != per_minute:
            known = self._rates[name] = (per_minute, Rate(per_minute))
        return known[1]

    def _budget(self, principal: Principal) -> WindowedCounter | None:
        budget = principal.key.budget if principal.key else None
        if budget is None:
            return None
        known = self._budgets.get(principal.id)
        if known is None or known[0].within_s != budget.within_s:
            known = self._budgets[principal.id] = (budget, WindowedCounter(budget.within_s))
        return known[1]

    def _forget(self, now_s: float) -> None:
        """Drop windows that count nothing; where all count, refuse rather than forget."""
        if len(self._ruled) < MAX_TRACKED:
            return
        self._ruled = {key: window for key, window in self._ruled.items() if not window.idle(now_s)}
        if len(self._ruled) >= MAX_TRACKED:
            raise ApiFault(503, "guard_unavailable", "too many limits are counted at the same time")


def _too_many(message: str, wait_s: float) -> ApiFault:
    return ApiFault(429, "rate_limited", message, headers={"retry-after": str(math.ceil(wait_s))})
