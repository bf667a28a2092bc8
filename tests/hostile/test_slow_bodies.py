"""Bodies that never end, in bytes or in seconds: refused in words, and the connection is not kept for them."""

import asyncio
import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from served_console import Served, served_console
from starlette.types import Message

from backstay.client import Client
from backstay.web.bodies import Body
from backstay.web.permissions import Role

BODY_S = 0.4


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with served_console(tmp_path, body_s=BODY_S, max_body_bytes=10_000) as found:
        yield found


def answered(served: Served, head: list[str], parts: list[bytes], pause_s: float = 0.0) -> tuple[int, dict[str, Any]]:
    """What is answered to a head and parts of a body, sent one by one."""
    where = urlsplit(served.address)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*head, f"host: {where.netloc}", "", ""]).encode())
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:
                break
            time.sleep(pause_s)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, json.loads(answer.read())


def test_a_body_that_does_not_come_is_given_up(served: Served) -> None:
    """Whoever sends it is not known yet: a session or token is looked at when the body is here."""
    head = ["POST /api/v1/projects HTTP/1.1", "content-type: application/json", "content-length: 40"]
    began = time.monotonic()
    status, told = answered(served, head, [b'{"id": '])
    assert (status, told["error"]["code"]) == (408, "too_slow")
    assert BODY_S * 0.9 < time.monotonic() - began < 10


def test_a_trickle_does_not_make_the_time_longer(served: Served) -> None:
    head = ["POST /api/v1/projects HTTP/1.1", "content-type: application/json", "content-length: 4000"]
    began = time.monotonic()
    status, _ = answered(served, head, [b" "] * 20, pause_s=BODY_S / 4)
    assert status == 408 and time.monotonic() - began < 15


def test_too_many_bytes_without_a_length_are_refused(served: Served) -> None:
    head = ["POST /api/v1/projects HTTP/1.1", "content-type: application/json", "transfer-encoding: chunked"]
    status, told = answered(served, head, [b"1000\r\n" + b" " * 4096 + b"\r\n"] * 4)
    assert (status, told["error"]["code"]) == (413, "too_large")


def test_an_upload_that_stops_is_given_up_and_leaves_nothing(served: Served) -> None:
    token = served.token(Role.LEAD)
    with Client(served.address, token) as lead:
        lead.make_project("p", "P", "d")
    path = "POST /api/v1/projects/p/imports?format=jsonl HTTP/1.1"
    status, told = answered(served, [path, f"authorization: Bearer {token}", "content-length: 400"], [b'{"prompt"'])
    assert (status, told["error"]["code"]) == (408, "too_slow")
    assert list(served.console.scratch.iterdir()) == []


class Clock:
    """The clock of a loop, which each block moves on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, step_s: float) -> None:
        self._time, self._step_s, self._ahead = loop.time, step_s, 0.0

    def now(self) -> float:
        return self._time() + self._ahead

    async def block(self) -> Message:
        self._ahead += self._step_s
        for _ in range(5):
            await asyncio.sleep(0)
        return {"type": "http.request", "body": b"x", "more_body": True}


@pytest.mark.parametrize(("is_upload", "step_s", "blocks"), [(True, 900.0, 50), (True, 1001.0, 0), (False, 300.0, 3)])
def test_an_upload_may_take_as_long_as_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, is_upload: bool, step_s: float, blocks: int
) -> None:
    """Of a thousand seconds each block of an upload has all, and those of another body share them."""

    async def received() -> int:
        loop = asyncio.get_running_loop()
        clock = Clock(loop, step_s)
        monkeypatch.setattr(loop, "time", clock.now)
        body = Body(clock.block, 1000, 1000.0, is_upload=is_upload)
        for count in range(50):
            if (await body.receive())["type"] == "http.disconnect":
                assert body.refusal is not None and body.refusal[:2] == (408, "too_slow")
                return count
        return 50

    assert asyncio.run(received()) == blocks
