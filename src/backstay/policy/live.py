"""The policy of a running process: exchanged whole or not at all; the last good one stays when a new one is broken."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from backstay.errors import BackstayError, UsageError
from backstay.policy.admission import admit
from backstay.policy.engine import PolicyBundle
from backstay.policy.history import Histories
from backstay.policy.policy_source import PolicySource
from backstay.records import sha256_hex
from backstay.storage.atomic import write_atomic
from backstay.storage.journal import utc_now

LOG = logging.getLogger("backstay.policy")
OnBroken = Literal["refuse", "last_good"]


@dataclass(frozen=True)
class Status:
    """What decides now, and what went wrong last."""

    hash: str
    loaded_at: str
    from_last_good: bool
    """Whether the process started with the kept copy because what is configured was broken."""
    last_error: str | None
    """Why the last attempt to load failed; None when it did not."""
    last_error_at: str | None
    reloads: int
    """How often the policy was exchanged since the start."""


@dataclass(frozen=True)
class _Active:
    bundle: PolicyBundle
    status: Status


class LivePolicy:
    """Holds one immutable bundle. Take `bundle` once for a request, and use it to the end of that request.

    `on_broken` says what happens at the start when the source is broken: `refuse` raises, `last_good` starts with the
    copy at `last_good` and says so in `status` and in the log. `histories` learn of changed counters.
    """

    def __init__(
        self,
        source: PolicySource,
        *,
        last_good: Path | None = None,
        on_broken: OnBroken = "refuse",
        histories: Histories | None = None,
        now: Callable[[], str] = utc_now,
    ) -> None:
        if on_broken == "last_good" and last_good is None:
            raise UsageError("on_broken: last_good needs a place for the copy", cure="set last_good, or refuse")
        self._source, self._last_good, self._histories, self._now = source, last_good, histories, now
        self._loading = threading.Lock()
        self._polled = self._read = source.stamp()
        self._tried = ""
        self._active = self._start(on_broken)
        self._count_by(self._active.bundle)

    @property
    def bundle(self) -> PolicyBundle:
        """The policy that decides now."""
        return self._active.bundle

    @property
    def status(self) -> Status:
        """What decides now, and what went wrong last."""
        return self._active.status

    def reload(self) -> bool:
        """Load the source again; False when that fails, and then everything stays as it was but `status.last_error`."""
        with self._loading:
            return self._reload()

    def poll(self) -> bool:
        """Reload when the source has changed and then stood still from one poll to the next; call it every few seconds.

        A file that is still being written has another stamp at each poll and is left alone. Content that was tried
        already is not tried again. Returns whether the policy was exchanged.
        """
        with self._loading:
            stamp, before = self._source.stamp(), self._polled
            self._polled = stamp
            if stamp != before or stamp == self._read:
                return False
            self._read = stamp
            return self._reload(tried=self._tried)

    def watch(self, interval_s: float = 2.0) -> Callable[[], None]:
        """Poll in a thread; returns the function that ends it."""
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(interval_s):
                self.poll()

        thread = threading.Thread(target=run, name="policy-watch", daemon=True)
        thread.start()

        def end() -> None:
            stop.set()
            thread.join()

        return end

    def _start(self, on_broken: OnBroken) -> _Active:
        try:
            captured = self._source.capture()
            self._tried = sha256_hex(captured)
            return self._loaded(captured, 0)
        except Exception as error:
            if on_broken == "refuse" or self._last_good is None:
                raise
            active = self._from_copy(self._last_good, _why(error))
            LOG.critical("the policy %s is broken, the last good one decides: %s", self._source.name, _why(error))
            return active

    def _from_copy(self, place: Path, why: str) -> _Active:
        if not place.is_file():
            raise UsageError(f"{self._source.name} is broken, and there is no last good policy at {place}: {why}")
        opened = self._source.open(place.read_bytes())
        admit(opened.bundle, f"the last good policy in {place}")
        now = self._now()
        status = Status(opened.bundle.hash, now, from_last_good=True, last_error=why, last_error_at=now, reloads=0)
        return _Active(opened.bundle, status)

    def _loaded(self, captured: bytes, reloads: int) -> _Active:
        """Understand, test, keep a copy: any of it may raise, and nothing has changed for those who decide."""
        opened = self._source.open(captured)
        admit(opened.bundle, self._source.name)
        opened.use()
        if self._last_good is not None:
            write_atomic(self._last_good, captured)
        status = Status(
            opened.bundle.hash, self._now(), from_last_good=False, last_error=None, last_error_at=None, reloads=reloads
        )
        return _Active(opened.bundle, status)

    def _reload(self, tried: str = "") -> bool:
        before = self._active
        try:
            captured = self._source.capture()
            self._tried = sha256_hex(captured)
            if self._tried == tried:
                return False
            fresh = self._loaded(captured, before.status.reloads + 1)
        except Exception as error:  # noqa: BLE001  whatever is wrong with the new policy, the old one goes on deciding
            status = replace(before.status, last_error=_why(error), last_error_at=self._now())
            self._active = replace(before, status=status)
            LOG.warning("the policy %s was not loaded, the one before decides: %s", self._source.name, _why(error))
            return False
        self._active = fresh
        self._count_by(fresh.bundle)
        return True

    def _count_by(self, bundle: PolicyBundle) -> None:
        if self._histories is not None:
            self._histories.redeclare(bundle.counters)


def _why(error: Exception) -> str:
    return error.message if isinstance(error, BackstayError) else f"{type(error).__name__}: {error}"
