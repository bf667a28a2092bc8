"""What a session has done, as counters over windows of time that cost the same however much has happened."""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from backstay.errors import ResourceError
from backstay.policy.points import glob_matches
from backstay.policy.rules import Counter

BUCKETS = 64
Action = tuple[str, str, str, Mapping[str, Any]]


class WindowedCounter:
    """A running sum over at least the last `within_s` seconds, in at most 65 numbers.

    What is added counts for `within_s` and up to 1/64 of it longer, never shorter. A value that is no finite number
    makes the counter unknown (None) for as long; a negative one adds nothing. Time that jumps back stands still.
    """

    def __init__(self, within_s: float | None) -> None:
        self._width_s = within_s / BUCKETS if within_s else math.inf
        self._buckets: deque[tuple[int, float]] = deque()
        self._total = 0.0
        self._slot = 0

    def add(self, value: Any, now_s: float) -> None:
        """Count a value at a time."""
        self._advance(now_s)
        known = amount_of(value)
        amount = math.nan if known is None else known
        if self._buckets and self._buckets[-1][0] == self._slot:
            self._buckets[-1] = (self._slot, self._buckets[-1][1] + amount)
        else:
            self._buckets.append((self._slot, amount))
        self._total += amount

    def value(self, now_s: float) -> float | None:
        """The sum now, None when it is unknown."""
        self._advance(now_s)
        return self._total if math.isfinite(self._total) else None

    def idle(self, now_s: float) -> bool:
        """Whether nothing is counted any more."""
        self._advance(now_s)
        return not self._buckets

    def _advance(self, now_s: float) -> None:
        slot = 0 if math.isinf(self._width_s) else math.floor(now_s / self._width_s)
        if slot <= self._slot:
            return
        self._slot = slot
        dropped = False
        while self._buckets and self._buckets[0][0] < slot - BUCKETS:
            self._buckets.popleft()
            dropped = True
        if dropped:
            self._total = math.fsum(amount for _, amount in self._buckets)


def amount_of(value: Any) -> float | None:
    """What a value adds to a counter: nothing where it is negative; None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        amount = float(value)
    except OverflowError:
        return None
    return max(0.0, amount) if math.isfinite(amount) else None


class SessionHistory:
    """The counters of one session."""

    def __init__(self, counters: Mapping[str, Counter], clock: Callable[[], float]) -> None:
        self._clock = clock
        self.declared = counters
        self._counters = {name: (counter, WindowedCounter(counter.within_s)) for name, counter in counters.items()}

    def redeclare(self, counters: Mapping[str, Counter]) -> None:
        """Take over the counters of another policy: those declared as before go on, others start at nothing."""
        self._counters = {
            name: kept
            if (kept := self._counters.get(name)) and kept[0] == counter
            else (counter, WindowedCounter(counter.within_s))
            for name, counter in counters.items()
        }
        self.declared = counters

    def record(self, point: str, action: str, tool: str, args: Mapping[str, Any]) -> None:
        """Count what was done; call it once for each action that was carried out."""
        self.restore(counted_values(self.declared, point, action, tool, args), self._clock())

    def restore(self, counted: Mapping[str, Any], at_s: float) -> None:
        """Count again what `counted_values` said of an action at a time of the clock; give actions in their order.

        Counters that the policy no longer has are passed over.
        """
        for name, value in counted.items():
            if name in self._counters:
                self._counters[name][1].add(value, at_s)

    def values(
        self, declared: Mapping[str, Counter] | None = None, ahead: Iterable[Action] = ()
    ) -> dict[str, float | None]:
        """The counters for `Request.counters`; None where one is unknown.

        Give `PolicyBundle.counters` as `declared` where policies are reloaded: what that bundle declares otherwise than
        the session counts is unknown to it. Actions `ahead` (point, action, tool, arguments) are not counted yet and
        will be done first.
        """
        now_s = self._clock()
        found = {name: window.value(now_s) for name, (_, window) in self._counters.items()}
        for point, action, tool, args in ahead:
            for name, amount in counted_values(self.declared, point, action, tool, args).items():
                found[name] = _sum(found[name], amount)
        typed = {name: _typed(counter, found[name]) for name, (counter, _) in self._counters.items()}
        if declared is None or declared is self.declared:
            return typed
        counted = {name: counter for name, (counter, _) in self._counters.items()}
        return {name: typed[name] if counted.get(name) == counter else None for name, counter in declared.items()}

    def idle(self) -> bool:
        """Whether nothing is counted any more, so that forgetting the session changes no decision."""
        now_s = self._clock()
        return all(window.idle(now_s) for _, window in self._counters.values())


def counted_values(
    counters: Mapping[str, Counter], point: str, action: str, tool: str, args: Mapping[str, Any]
) -> dict[str, Any]:
    """What each counter that an action matters to adds for it: 1, or the argument that it sums."""
    return {
        name: 1 if counter.sum is None else _argument(args, counter.sum)
        for name, counter in counters.items()
        if counter.point == point and _any(counter.action, action) and _any(counter.tool, tool)
    }


class Histories:
    """Histories of many sessions in bounded memory; one that still counts something is never forgotten."""

    def __init__(
        self, counters: Mapping[str, Counter], clock: Callable[[], float], max_sessions: int = 100_000
    ) -> None:
        self._counters, self._clock, self._max = counters, clock, max_sessions
        self._sessions: OrderedDict[str, SessionHistory] = OrderedDict()

    def of(self, session: str) -> SessionHistory:
        """The history of a session; raises ResourceError when there are too many that still count something."""
        history = self._sessions.get(session)
        if history is None:
            self._make_room()
            history = self._sessions[session] = SessionHistory(self._counters, self._clock)
        if history.declared is not self._counters:
            history.redeclare(self._counters)
        self._sessions.move_to_end(session)
        return history

    def redeclare(self, counters: Mapping[str, Counter]) -> None:
        """Count by the counters of another policy; each session takes them over when it is next asked for."""
        self._counters = counters

    def _make_room(self) -> None:
        for _ in range(min(8, len(self._sessions)) if len(self._sessions) >= self._max else 0):
            oldest, history = self._sessions.popitem(last=False)
            if history.declared is not self._counters:
                history.redeclare(self._counters)
            if history.idle():
                return
            self._sessions[oldest] = history
        if len(self._sessions) >= self._max:
            raise ResourceError(
                f"{len(self._sessions)} sessions are counted, which is the most",
                cure="raise max_sessions or shorten within_s",
            )


def _sum(value: float | None, amount: Any) -> float | None:
    """As WindowedCounter adds: what is no finite number makes the sum unknown, a negative one adds nothing."""
    known = isinstance(amount, int | float) and not isinstance(amount, bool) and math.isfinite(amount)
    return value + max(0.0, float(amount)) if known and value is not None else None


def _any(globs: tuple[str, ...], name: str) -> bool:
    return any(glob_matches(glob, name) for glob in globs)


def _typed(counter: Counter, value: float | None) -> float | None:
    return value if value is None or counter.sum is not None else int(value)


def _argument(args: Mapping[str, Any], path: str) -> Any:
    value: Any = args
    for name in path.split(".")[1:]:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
