"""The policy service: a policy of ours behind the API that OpenAI's clients speak.

POST /v1/chat/completions and /v1/completions, whole or streamed; GET /v1/models and /health. One generation at a time,
the choices of a request together; a bounded number of others wait. Nothing of a request is stored or logged.
"""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from queue import Empty
from typing import Any, cast

from backstay.errors import BackstayError, UsageError
from backstay.learn.serving.completion_answers import EventStream, whole_answer
from backstay.learn.serving.completion_requests import APIS, read_request
from backstay.learn.serving.generation import Cancelled, Generated, Policy
from backstay.learn.serving.http_service import Counts, Handler, HttpService, ServiceLimits, parsed_json
from backstay.learn.serving.turns import Busy, Job, Turns

LOOK_S = 0.1
"""How often a waiting request looks whether its client is still there."""
TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "invalid_request_error"}


@dataclass
class PolicyCounts(Counts):
    """What has been answered so far."""

    cancelled: int = 0
    tokens: int = 0


class PolicyService(HttpService):
    """A server on `host`:`port` (0 = a free one); `names` are the models that it answers to.

    At most `queue` requests wait for their turn; a further one is told to come again (429).
    """

    def __init__(
        self,
        policy: Policy,
        names: tuple[str, ...],
        *,
        queue: int = 16,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = "",
        about: Mapping[str, Any] | None = None,
        limits: ServiceLimits | None = None,
    ) -> None:
        self.policy, self.names, self.counts = policy, names, PolicyCounts()
        self.turns, self.began = Turns(policy, queue), int(time.time())
        super().__init__(_Handler, self.counts, host=host, port=port, token=token, about=about, limits=limits)

    @contextlib.contextmanager
    def running(self, drain_s: float = 10.0) -> Iterator["PolicyService"]:
        """Serve from threads until the block ends; answers under way may end within `drain_s`."""
        worker = threading.Thread(target=self.turns.work, name="backstay-generation", daemon=True)
        worker.start()
        with self.listening():
            try:
                yield self
            finally:
                self.turns.drain(drain_s)
                worker.join(drain_s)


class _Handler(Handler):
    protocol_version = "HTTP/1.1"

    @property
    def _service(self) -> PolicyService:
        return cast("PolicyService", self.server.service)

    def fail(self, status: int, message: str) -> None:
        """Answer with an error in the shape that OpenAI's clients read."""
        error = {"message": message, "type": TYPES.get(status, "server_error"), "param": None, "code": None}
        self.reply(status, {"error": error}, {"Retry-After": "2"} if status in (429, 503) else None)

    def do_GET(self) -> None:
        """Health and models."""
        service = self._service
        if self.path not in ("/health", "/v1/models"):
            self.fail(404, "no such path")
        elif not self.allowed():
            return
        elif self.path == "/health":
            self.reply(200, {"ok": True, **service.about, "counts": service.counts.numbers()})
        else:
            rows = [
                {"id": name, "object": "model", "created": service.began, "owned_by": "backstay"}
                for name in service.names
            ]
            self.reply(200, {"object": "list", "data": rows})

    def do_POST(self) -> None:
        """A completion."""
        api = APIS.get(self.path)
        if api is None:
            self.fail(404, f"no such path; there are {', '.join(APIS)}")
            return
        if not self.allowed() or (body := self.body()) is None:
            return
        service = self._service
        try:
            request = read_request(api, parsed_json(body), service.policy)
            if request.model not in service.names:
                self.fail(404, f"no model {request.model[:100]!r}; there are {', '.join(service.names)}")
                return
            job = Job(request)
            service.turns.submit(job)
        except (UsageError, ValueError) as error:
            service.counts.add(refused=1)
            self.fail(400, str(error))
        except Busy as error:
            service.counts.add(refused=1)
            self.fail(error.status, error.message)
        else:
            self._answered(job)

    def _answered(self, job: Job) -> None:
        reply = EventStream(job.request, self._begin_events, self._write_event) if job.request.stream else None
        counts = self._service.counts
        try:
            found = self._heard(job, reply)
            if reply is None:
                self.reply(200, whole_answer(job.request, found))
            else:
                reply.end(found)
                self._write_event(b"")
            counts.add(requests=1, tokens=found.completion_tokens)
        except (Cancelled, OSError):
            counts.add(cancelled=1)
            self.close_connection = True
        except Exception as error:  # noqa: BLE001  one request must not end the service
            counts.add(failed=1)
            self._told_failure(error, reply)
        finally:
            job.cancelled.set()

    def _begin_events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        if self.request_version != "HTTP/1.0":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _write_event(self, data: bytes) -> None:
        """A chunk, so that an answer which is cut off does not look like a whole one; an empty one is the end."""
        self.wfile.write(data if self.request_version == "HTTP/1.0" else b"%x\r\n%s\r\n" % (len(data), data))

    def _heard(self, job: Job, reply: EventStream | None) -> Generated:
        """Wait for the end while pieces go out; raises Cancelled when the client is gone."""
        while True:
            try:
                told = job.told.get(timeout=LOOK_S)
            except Empty:
                if self._gone():
                    raise Cancelled from None
                continue
            if isinstance(told, Generated):
                return told
            if isinstance(told, Exception):
                raise told
            if reply is not None:
                reply.piece(*told)
            elif self._gone():
                raise Cancelled

    def _gone(self) -> bool:
        """Whether the client has closed the connection."""
        ready, _, _ = select.select([self.connection], [], [], 0)
        return bool(ready) and not self.connection.recv(1, socket.MSG_PEEK)

    def _told_failure(self, error: Exception, reply: EventStream | None) -> None:
        message = error.message if isinstance(error, BackstayError) else f"generation failed: {type(error).__name__}"
        with contextlib.suppress(OSError):
            if reply is None or not reply.begun:
                self.fail(500, message)
            else:
                reply.event({"error": {"message": message, "type": "server_error", "param": None, "code": None}})
                self._write_event(b"")
