"""Who waits for which approval, and waking them when this process changes it."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from backstay.guard.approvals.refusals import Refusal

MAX_WAIT_S = 55.0
"""The longest poll: shorter than the minute after which proxies hang up."""


class Waiters:
    """Callbacks by approval; they are called from whichever thread made the change."""

    def __init__(self, most: int = 2000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._wake: dict[str, list[Callable[[], None]]] = {}
        self._count = 0

    @contextlib.contextmanager
    def waiting(self, approval_id: str, wake: Callable[[], None]) -> Iterator[None]:
        """Have `wake` called on every change of this approval while the block runs."""
        with self._lock:
            if self._count >= self._most:
                raise Refusal("too_many", f"{self._most} requests wait already", cure="poll without Prefer: wait")
            self._count += 1
            self._wake.setdefault(approval_id, []).append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                self._wake[approval_id].remove(wake)
                if not self._wake[approval_id]:
                    del self._wake[approval_id]

    def pause_s(self, poll_s: float) -> float:
        """How long one of them pauses between reads: all of them together read at most 100 times a `poll_s`."""
        return poll_s * max(1.0, self._count / 100)

    def notify(self, approval_id: str) -> None:
        """The approval has changed."""
        with self._lock:
            wakes = list(self._wake.get(approval_id, ()))
        for wake in wakes:
            wake()
