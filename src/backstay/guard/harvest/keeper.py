"""A thread of its own redacts and stores what has ended: no client waits for it, and no failure of it reaches one."""

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future

from backstay.errors import BackstayError
from backstay.guard.harvest.kept_exchange import KeptExchange
from backstay.guard.harvest.redacting import Redactor, Unredactable
from backstay.guard.harvest.store import HarvestStore

MAX_WAITING = 256
SWEEP_S = 600.0
_log = logging.getLogger("backstay.guard")


class Keeper:
    """Takes exchanges as they were said and keeps them redacted, or not at all; `count` says what became of each.

    `count` gets `kept`, `full` (too many wait), `too_long`, `unredactable` or `failed`, and `expired` for deletions.
    """

    def __init__(
        self,
        store: HarvestStore,
        redactor: Redactor,
        *,
        max_characters: int = 200_000,
        count: Callable[[str], None] = lambda _: None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.store, self.redactor = store, redactor
        self.results: Counter[str] = Counter()
        self.now_ms = now_ms
        self._max_characters, self._count = max_characters, count
        self._waiting: queue.Queue[KeptExchange | None] = queue.Queue(MAX_WAITING)
        self._under_way: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._closing = False
        self._swept_s = -SWEEP_S
        self._thread = threading.Thread(target=self._run, name="backstay-harvest", daemon=True)
        self._thread.start()

    def offer(self, found: KeptExchange) -> None:
        """Take an exchange; returns at once, and drops it where too many wait."""
        if found.size_chars > self._max_characters:
            self._note("too_long")
            return
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # A client that goes away while it waits must not cancel it.
        with self._lock:
            if self._closing:
                return
            self._under_way[found.exchange] = done
            try:
                self._waiting.put_nowait(found)
            except queue.Full:
                del self._under_way[found.exchange]
                self._note("full")

    def under_way(self, exchange: str) -> "Future[None] | None":
        """A future that resolves once the exchange is stored or dropped; None where it is not being worked on."""
        return self._under_way.get(exchange)

    def close(self) -> None:
        """Keep what waits, and stop."""
        with self._lock:
            self._closing = True
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._sweep()
            try:
                found = self._waiting.get(timeout=SWEEP_S)
            except queue.Empty:
                continue
            if found is None:
                return
            self._note(self._kept(found))
            with self._lock:
                done = self._under_way.pop(found.exchange, None)
            if done is not None:
                done.set_result(None)

    def _kept(self, found: KeptExchange) -> str:
        try:
            self.store.keep(self.redactor.exchange(found)).result()
        except Unredactable:
            return "unredactable"
        except BackstayError as error:
            _log.error("an exchange could not be kept: %s", error)
            return "failed"
        except Exception as error:  # noqa: BLE001  the thread goes on; a message may quote the text, so only its type is told
            _log.error("an exchange could not be kept: %s", type(error).__name__)
            return "failed"
        return "kept"

    def _sweep(self) -> None:
        if time.monotonic() - self._swept_s < SWEEP_S:
            return
        self._swept_s = time.monotonic()
        try:
            for _ in range(self.store.expire(self.now_ms())):
                self._note("expired")
        except BackstayError as error:
            _log.error("what is too old could not be deleted: %s", error)

    def _note(self, result: str) -> None:
        self.results[result] += 1
        self._count(result)
