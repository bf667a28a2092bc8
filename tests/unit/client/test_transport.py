"""What the client sends again, what it never does, and how long it waits in between."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backstay.client import Client, ConsoleUnreachable, NotFound, Submission, TooManyRequests, Unavailable
from backstay.client.transport import MAX_ANSWER_BYTES

GUIDELINES = {"version": 1, "text": "t", "author": "a"}
PROGRESS = {
    "done_today": 0,
    "done_total": 0,
    "streak_days": 0,
    "per_hour": None,
    "left": None,
    "retracted": 0,
    "skipped": 0,
}
RECEIPT = {"receipt": "r", "accepted_at": "", "undo": True, "next": None, "why": "done", "progress": PROGRESS}


class Console(http.server.BaseHTTPRequestHandler):
    """Answers with the next of a list: (status, body, headers), or hangs up."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        server.got.append((self.command, self.path, dict(self.headers), body))
        answer = server.answers.pop(0)
        if answer is None:
            self.close_connection = True
            return
        status, value, headers = answer
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"content-length": str(len(data)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def console() -> Iterator[Any]:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Console)
    server.answers, server.got, server.waits = [], [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def client(console: Any, **given: Any) -> Client:
    return Client(f"http://127.0.0.1:{console.server_port}", "bst_x", sleep=console.waits.append, **given)


def fault(status: int, **headers: str) -> tuple[int, Any, dict[str, str]]:
    return status, {"error": {"code": "c", "message": "m", "cure": "", "fields": []}}, headers


def test_reading_is_tried_again_after_dead_connections_and_503(console: Any) -> None:
    console.answers = [None, fault(503), None, (200, GUIDELINES, {})]
    with client(console) as found:
        assert found.guidelines("p").version == 1
    assert console.waits == [0.25, 0.5, 1.0]
    assert {headers["authorization"] for _, _, headers, _ in console.got} == {"Bearer bst_x"}


def test_an_answer_is_sent_again_under_the_key_it_had(console: Any) -> None:
    console.answers = [None, fault(502), (201, RECEIPT, {})]
    with client(console) as found:
        assert found.judge("a", Submission.prefer(0, over=1)).receipt == "r"
    keys = {headers["idempotency-key"] for _, _, headers, _ in console.got}
    assert (len(console.got), len(keys), len({body for *_, body in console.got})) == (3, 1, 1)


def test_what_could_be_done_twice_is_sent_once(console: Any) -> None:
    console.answers = [None, fault(503)]
    with client(console) as found:
        with pytest.raises(ConsoleUnreachable):
            found.write_guidelines("p", "t")
        with pytest.raises(Unavailable):
            found.write_guidelines("p", "t")
    assert (len(console.got), console.waits) == (2, [])


def test_429_is_waited_out_as_long_as_it_says_up_to_a_minute(console: Any) -> None:
    console.answers = [fault(429, **{"retry-after": "7"}), (201, GUIDELINES, {}), fault(429, **{"retry-after": "61"})]
    with client(console) as found:
        assert found.write_guidelines("p", "t").version == 1
        with pytest.raises(TooManyRequests) as error:
            found.me()
    assert (console.waits, error.value.retry_after_s) == ([7.0], 61.0)


def test_it_gives_up_after_its_attempts(console: Any) -> None:
    console.answers = [fault(503)] * 3
    with client(console, attempts=3) as found, pytest.raises(Unavailable):
        found.me()
    assert len(console.got) == 3


def test_a_redirect_is_not_followed_and_a_foreign_page_is_an_error(console: Any) -> None:
    console.answers = [(302, b"", {"location": "/elsewhere"}), (404, b"<html>", {}), (200, b"<html>", {})]
    with client(console, attempts=1) as found:
        with pytest.raises(Exception, match="302"):
            found.me()
        with pytest.raises(NotFound, match="not the console's"):
            found.me()
        with pytest.raises(ConsoleUnreachable, match="not JSON"):
            found.me()
    assert [path for _, path, *_ in console.got] == ["/api/v1/me"] * 3


def test_an_export_that_breaks_off_leaves_no_file(console: Any, tmp_path: Path) -> None:
    console.answers = [(200, b"half", {"content-length": "8", "connection": "close"})]
    with client(console) as found, pytest.raises(ConsoleUnreachable, match="4 of 8|broke off"):
        found.export("p", "csv", tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_an_endless_answer_is_not_read(console: Any) -> None:
    console.answers = [(200, b" " * 1000, {"content-length": str(MAX_ANSWER_BYTES + 2), "connection": "close"})]
    with client(console) as found, pytest.raises(ConsoleUnreachable):
        found.me()


def test_pages_are_fetched_when_they_are_reached(console: Any) -> None:
    console.answers = [(200, {"webhooks": [1, 2], "next": "b"}, {}), (200, {"webhooks": [3], "next": None}, {})]
    with client(console) as found:
        pages = found.pages("/webhooks", "webhooks", limit=2)
        assert [next(pages), next(pages), len(console.got)] == [1, 2, 1]
        assert list(pages) == [3]
    assert console.got[1][1] == "/api/v1/webhooks?after=b&limit=2"


def test_names_cannot_leave_their_place_in_the_address(console: Any) -> None:
    console.answers = [fault(404)]
    with client(console) as found, pytest.raises(NotFound):
        found.project("../webhooks?x=1#")
    assert console.got[0][1] == "/api/v1/projects/..%2Fwebhooks%3Fx%3D1%23"
