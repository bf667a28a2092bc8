"""Turns: one generation at a time, in the order in which requests came, and a bounded number that wait."""

import threading
from collections import deque
from dataclasses import dataclass, field
from queue import SimpleQueue

from backstay.errors import BackstayError
from backstay.learn.serving.completion_requests import CompletionRequest
from backstay.learn.serving.generation import Cancelled, Generated, Policy, generate


@dataclass
class Job:
    """One request on its way: pieces of text come out of `told`, then what was generated, or an error."""

    request: CompletionRequest
    told: "SimpleQueue[tuple[int, str] | Generated | Exception]" = field(default_factory=SimpleQueue)
    cancelled: threading.Event = field(default_factory=threading.Event)


class Busy(BackstayError):
    """It is no time to ask; `status` is 429 where enough others wait, 503 where the server is being stopped."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Turns:
    """Jobs in the order in which they came, carried out one after the other by a thread."""

    def __init__(self, policy: Policy, most: int) -> None:
        self._policy, self._most = policy, most
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._running: Job | None = None
        self._closing = False

    def submit(self, job: Job) -> None:
        """Queue a job; raises Busy."""
        with self._changed:
            if self._closing:
                raise Busy(503, "the server is being stopped")
            if len(self._waiting) + (self._running is not None) > self._most:
                raise Busy(429, f"{self._most} requests wait already")
            self._waiting.append(job)
            self._changed.notify_all()

    def work(self) -> None:
        """Carry out jobs until closed."""
        while (job := self._next()) is not None:
            try:
                job.told.put(self._carried_out(job))
            except Exception as error:  # noqa: BLE001  one request must not end the service
                job.told.put(error)
            finally:
                with self._changed:
                    self._running = None
                    self._changed.notify_all()

    def drain(self, within_s: float) -> None:
        """Take no more jobs, let those that are there end, and cancel what has not ended in time."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._running is None and not self._waiting, within_s)
            for job in [*self._waiting, *([self._running] if self._running else [])]:
                job.cancelled.set()

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closing)
            self._running = self._waiting.popleft() if self._waiting else None
            return self._running

    def _carried_out(self, job: Job) -> Generated:
        if job.cancelled.is_set():
            raise Cancelled
        request = job.request
        return generate(
            self._policy,
            request.prompt,
            request.sampling,
            on_text=lambda choice, piece: job.told.put((choice, piece)),
            cancelled=job.cancelled,
        )
