"""An HTTP server that strangers cannot exhaust: bounded connections, bounded bodies, a deadline to send them.

The standard library's server; what is served is up to the `Service` behind it.
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

from backstay.errors import UsageError


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
class Counts:
    """What has been answered so far; the numbers are the fields of a subclass, and these."""

    requests: int = 0
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


class HttpService:
    """A server on `host`:`port` (0 = a free one) whose requests `handler` answers.

    A host beyond this machine needs a `token`, which clients send as a bearer token. Raises UsageError for one without.
    """

    def __init__(
        self,
        handler: Callable[..., BaseHTTPRequestHandler],
        counts: Counts,
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
        self.token, self.about, self.limits = token, dict(about or {}), limits or ServiceLimits()
        self.slots = threading.BoundedSemaphore(self.limits.connections)
        self.tally = counts
        try:
            self._server = Server((host, port), self, handler)
        except OSError as error:
            raise UsageError(f"cannot serve on {host}:{port}: {error}", cure="choose another --port") from error
        self.host, self.port = host, int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Serve from a thread until the block ends; requests under way get their answer cut off."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="backstay-service", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def parsed_json(body: bytes) -> Any:
    """A body as JSON; raises ValueError."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the body is not JSON: {type(error).__name__}") from None


class Server(ThreadingHTTPServer):
    """A thread a connection, as many as there are slots."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], service: HttpService, handler: Callable[..., BaseHTTPRequestHandler]
    ) -> None:
        self.service = service
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a slot before there is a thread, so that who has no token cannot take more threads than slots."""
        if self.service.slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.service.tally.add(refused=1)
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
        self.service.tally.add(refused=1)


class Handler(BaseHTTPRequestHandler):
    """What every request needs: a deadline, the token, a bounded JSON body, a JSON reply."""

    server: Server
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
        """The request has been answered."""
        self._deadline.cancel()
        super().finish()

    def fail(self, status: int, message: str) -> None:
        """Answer with an error."""
        self.reply(status, {"error": message})

    def allowed(self) -> bool:
        """Whether the client has sent the token; it is told where not."""
        token = self.server.service.token
        given = self.headers.get("Authorization", "")
        if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            self.fail(401, "a bearer token is needed")
            return False
        return True

    def body(self) -> bytes | None:
        """The body, which ends the deadline; None for one that is not taken, of which the client is told."""
        length = self.headers.get("Content-Length", "")
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            self.fail(415, "Content-Type must be application/json")
        elif not (length.isascii() and length.isdigit() and len(length) < 20):
            self.fail(411, "Content-Length is needed")
        elif int(length) > self.server.service.limits.body_bytes:
            self._swallow(int(length))
            self.fail(413, f"at most {self.server.service.limits.body_bytes} bytes are taken")
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                self._deadline.cancel()
                return body
            self.fail(400, "the body is shorter than Content-Length says")
        return None

    def reply(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        """Answer with JSON."""
        data = json.dumps(value, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: Any) -> None:
        """Requests are counted, not logged."""

    def _swallow(self, length: int) -> None:
        """Take some of what is too much: a client that still sends when the line goes dead never sees the answer."""
        left = min(length, 16 * self.server.service.limits.body_bytes)
        while left > 0 and (chunk := self.rfile.read(min(left, 1 << 16))):
            left -= len(chunk)

    def _cut(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
