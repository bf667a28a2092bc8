"""The reward service: texts in, scores out, over HTTP, for trainers elsewhere.

POST /score, /verl or /openrlhf with JSON; GET /health. Nothing of a request is executed, stored or logged.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from backstay.errors import BackstayError
from backstay.learn.rewards.reward_requests import FORMS, Reader
from backstay.learn.rewards.served_reward import Row, Scored
from backstay.learn.serving.http_service import Counts, Handler, HttpService, ServiceLimits, is_loopback, parsed_json

__all__ = ["RewardService", "ServiceCounts", "ServiceLimits", "is_loopback"]

Score = Callable[[list[Row]], list[Scored]]


@dataclass
class ServiceCounts(Counts):
    """What has been answered so far."""

    rows: int = 0
    gated: int = 0
    cut: int = 0


class RewardService(HttpService):
    """A server on `host`:`port` (0 = a free one) that scores one request at a time.

    A host beyond this machine needs a `token`, which clients send as a bearer token. Raises UsageError for one without.
    """

    def __init__(
        self,
        score: Score,
        reader: Reader,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = "",
        about: Mapping[str, Any] | None = None,
        limits: ServiceLimits | None = None,
    ) -> None:
        self.score, self.reader, self.counts, self.scoring = score, reader, ServiceCounts(), threading.Lock()
        super().__init__(_Handler, self.counts, host=host, port=port, token=token, about=about, limits=limits)

    @contextlib.contextmanager
    def running(self) -> Iterator["RewardService"]:
        """Serve from a thread until the block ends; requests under way get their answer cut off."""
        with self.listening():
            yield self

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        """Status and answer of a request."""
        form = FORMS.get(path)
        if form is None:
            return 404, {"error": f"no such path; there are {', '.join(FORMS)}"}
        read, write = form
        try:
            rows = read(parsed_json(body), self.reader)
        except (BackstayError, ValueError) as error:
            self.counts.add(refused=1)
            return 400, {"error": str(error)}
        if not self.scoring.acquire(timeout=self.limits.wait_s):
            return 503, {"error": "busy"}
        try:
            scored = self.score(rows)
        except Exception as error:  # noqa: BLE001  one request must not end the service
            self.counts.add(failed=1)
            return 500, {"error": f"scoring failed: {type(error).__name__}"}
        finally:
            self.scoring.release()
        gated, cut = sum(row.gate for row in scored), sum(row.cut for row in rows)
        self.counts.add(requests=1, rows=len(scored), gated=gated, cut=cut)
        return 200, write(scored, rows)


class _Handler(Handler):
    @property
    def _service(self) -> RewardService:
        return cast("RewardService", self.server.service)

    def do_GET(self) -> None:
        """Health, with counts."""
        if self.path != "/health":
            self.fail(404, "no such path")
        elif self.allowed():
            self.reply(200, {"ok": True, **self._service.about, "counts": self._service.counts.numbers()})

    def do_POST(self) -> None:
        """A request for scores."""
        if self.allowed() and (body := self.body()) is not None:
            self.reply(*self._service.answer(self.path, body))
