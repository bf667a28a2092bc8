"""An HTTP server on a free loopback port whose answers are whatever bytes a test wants."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Answer = Callable[[socket.socket, bytes], None]


@dataclass
class RawServer:
    """Where it listens, the requests it got (head and body), and an event that ends answers which wait."""

    port: int
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/score"


@contextlib.contextmanager
def raw_server(answer: Callable[[RawServer], Answer]) -> Iterator[RawServer]:
    """Serve until the block ends; a connection is one request."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(5)
            head, body = _read(self.request)
            state.requests.append((head, body))
            with contextlib.suppress(OSError):  # The client may have gone.
                reply(self.request, body)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

    with Server(("127.0.0.1", 0), Handler) as server:
        state = RawServer(server.server_address[1])
        reply = answer(state)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            state.stop.set()
            server.shutdown()
            thread.join(5)


def json_answer(text: str, status: int = 200, more: str = "") -> bytes:
    """A whole answer."""
    body = text.encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def _read(connection: socket.socket) -> tuple[str, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return data.decode(), b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    size = next(int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: "))
    while len(body) < size:
        body += connection.recv(65536)
    return head.decode(), body
