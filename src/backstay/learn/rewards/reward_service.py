"""The reward service: texts in, scores out, over HTTP, for trainers elsewhere.

POST /score, /verl or /openrlhf with JSON; GET /health. Nothing of a request is executed, stored or logged.
"""

import contextlib
import hmac
import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from backstay.errors import BackstayError, UsageError
from backstay.learn.rewards.reward_requests import FORMS, Reader
from backstay.learn.rewards.served_reward import Row, Scored

Score = Callable[[list[Row]], list[Scored]]


@dataclass(frozen=True)
class ServiceLimits:
    """What one client may take."""

    body_bytes: int = 8 << 20
    """Largest request."""
    read_s: float = 20.0
    """Seconds that a client has to send its request, however it spreads them."""
    wait_s: float = 120.0
    """Seconds that a request waits for its turn before it is told to come again (503)."""
    connections: int = 64
    """Connections at once; a further one is closed before anything is read from it."""


@dataclass
class ServiceCounts:
    """What has been answered so far."""

    requests: int = 0
    rows: int = 0
    gated: int = 0
    cut: int = 0
    refused: int = 0
    failed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **more: int) -> None:
        """Count up."""
        with self.lock:
            for name, number in more.items():
                setattr(self, name, getattr(self, name) + number)

    def numbers(self) -> dict[str, int]:
        """The counts by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, int)}


class RewardService:
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
        if not token and not is_loopback(host):
            raise UsageError(
                f"{host} can be reached from other machines, and no token is set",
                cure="put a token into the variable that --token-variable names, or serve on 127.0.0.1",
            )
        self.score, self.reader, self.token = score, reader, token
        self.about, self.limits, self.counts = dict(about or {}), limits or ServiceLimits(), ServiceCounts()
        self.scoring, self.slots = threading.Lock(), threading.BoundedSemaphore(self.limits.connections)
        try:
            self._server = _Server((host, port), self)
        except OSError as error:
            raise UsageError(f"cannot serve on {host}:{port}: {error}", cure="choose another --port") from error
        self.host, self.port = host, int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator["RewardService"]:
        """Serve from a thread until the block ends; requests under way get their answer cut off."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="backstay-service", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        """Status and answer of a request."""
        form = FORMS.get(path)
        if form is None:
            return 404, {"error": f"no such path; there are {', '.join(FORMS)}"}
        read, write = form
        try:
            rows = read(_parsed(body), self.reader)
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


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the body is not JSON: {type(error).__name__}") from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], service: RewardService) -> None:
        self.service = service
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a slot before there is a thread, so that who has no token cannot take more threads than slots."""
        if self.service.slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.service.counts.add(refused=1)
            super().shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Give the slot back; called once for every request that has one."""
        try:
            super().shutdown_request(request)
        finally:
            self.service.slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""
        del request, client_address
        self.service.counts.add(refused=1)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "backstay"
    sys_version = ""

    def setup(self) -> None:
        """Cut the connection when the request has not come within its time."""
        limits = self.server.service.limits
        self.request.settimeout(limits.read_s)
        self._deadline = threading.Timer(limits.read_s, self._cut)
        self._deadline.daemon = True
        self._deadline.start()
        super().setup()

    def finish(self) -> None:
        self._deadline.cancel()
        super().finish()

    def do_GET(self) -> None:
        """Health, with counts."""
        service = self.server.service
        if self.path != "/health":
            self._reply(404, {"error": "no such path"})
        elif self._allowed():
            self._reply(200, {"ok": True, **service.about, "counts": service.counts.numbers()})

    def do_POST(self) -> None:
        """A request for scores."""
        service = self.server.service
        if self._allowed() and (body := self._body()) is not None:
            self._deadline.cancel()
            self._reply(*service.answer(self.path, body))

    def _allowed(self) -> bool:
        token = self.server.service.token
        given = self.headers.get("Authorization", "")
        if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            self._reply(401, {"error": "a bearer token is needed"})
            return False
        return True

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            self._reply(415, {"error": "Content-Type must be application/json"})
        elif not (length.isascii() and length.isdigit() and len(length) < 20):
            self._reply(411, {"error": "Content-Length is needed"})
        elif int(length) > self.server.service.limits.body_bytes:
            self._swallow(int(length))
            self._reply(413, {"error": f"at most {self.server.service.limits.body_bytes} bytes are taken"})
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
            self._reply(400, {"error": "the body is shorter than Content-Length says"})
        return None

    def _swallow(self, length: int) -> None:
        """Take some of what is too much: a client that still sends when the line goes dead never sees the answer."""
        left = min(length, 16 * self.server.service.limits.body_bytes)
        while left > 0 and (chunk := self.rfile.read(min(left, 1 << 16))):
            left -= len(chunk)

    def _reply(self, status: int, value: Any) -> None:
        data = json.dumps(value, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: Any) -> None:
        """Requests are counted, not logged."""

    def _cut(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
