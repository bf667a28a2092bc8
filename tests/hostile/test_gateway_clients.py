"""Clients with a valid key that try to get around the gateway, or to wear it out."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from aiohttp import web
from guard_gateway import Running, chat_answer, post, running
from made_secrets import token_with_check
from uvicorn.server import ServerState

from backstay.guard.gateway.connections import BoundedProtocol
from backstay.guard.gateway.keys import KeyRing, add_key

pytestmark = pytest.mark.hostile
SECRET = token_with_check("ghp_", 7)
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


async def plain(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    return web.json_response(chat_answer("x"))


async def response(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    return web.json_response({"status": "completed", "output": []})


@pytest.mark.parametrize(
    "more",
    [
        {"documents": [{"title": "t", "text": SECRET}]},
        {"metadata": {"note": SECRET}},
        {"response_format": {"type": "json_schema", "json_schema": {"description": SECRET}}},
        {"user": SECRET},
        {"messages": [{"role": "user", "content": "x", "name": SECRET}]},
        {"messages": [{"role": "user", "content": "x", "reasoning_details": [{"text": SECRET}]}]},
    ],
)
def test_texts_in_other_fields_are_redacted_too(more: dict[str, Any]) -> None:
    with running(plain) as up:
        status, _, headers = asyncio.run(post(f"{up.url}/chat/completions", ASK | more))
        assert status == 200 and headers["x-backstay-redacted"] == "github_token"
        assert SECRET not in json.dumps(up.upstream_bodies)


def test_instructions_in_parts_are_redacted_too() -> None:
    ask = {"model": "m", "input": "x", "instructions": [{"type": "message", "role": "system", "content": SECRET}]}
    with running(response) as up:
        assert asyncio.run(post(f"{up.url}/responses", ask))[0] == 200
        assert SECRET not in json.dumps(up.upstream_bodies)


def test_a_secret_as_the_name_of_a_field_does_not_go_up() -> None:
    with running(plain) as up:
        assert asyncio.run(post(f"{up.url}/chat/completions", ASK | {"metadata": {SECRET: 1}}))[0] == 403
        assert not up.upstream_bodies


@pytest.mark.parametrize("name", ["web_search_options", "plugins", "models", "chat_template"])
def test_what_the_guard_would_not_see_is_refused(name: str) -> None:
    with running(plain) as up:
        status, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", ASK | {name: ["x"]}))
        assert status == 400 and name.encode() in raw and not up.upstream_bodies


def test_two_calls_of_one_id_are_refused() -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": n, "arguments": "{}"}} for n in ("one", "two")]
    messages = [{"role": "assistant", "tool_calls": calls}, {"role": "tool", "tool_call_id": "a", "content": "x"}]
    with running(plain) as up:
        assert asyncio.run(post(f"{up.url}/chat/completions", ASK | {"messages": messages}))[0] == 400


async def raw_answer(url: str, head: str, body: bytes = b"", *, leave: bool = False) -> bytes:
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
    await writer.drain()
    if leave:
        writer.close()
        return b""
    answer = await asyncio.wait_for(reader.read(65_536), 5)
    writer.close()
    return answer


def head_of(up: Running, body: bytes, *lines: str) -> str:
    host = up.url.removeprefix("http://").removesuffix("/v1")
    rows = ["POST /v1/chat/completions HTTP/1.1", *lines, f"content-length: {len(body)}"]
    return "\n".join([*rows, *([] if any(line.startswith("host:") for line in lines) else [f"host: {host}"])])


def test_a_digit_that_is_none_in_a_preference_is_no_crash() -> None:
    body = json.dumps(ASK).encode()
    with running(plain) as up:
        assert b" 200 " in asyncio.run(raw_answer(up.url, head_of(up, body, "prefer: wait=\xb2"), body))


@pytest.mark.parametrize("line", ["host: evil.example", "origin: https://evil.example", "host: 127.0.0.1.evil.example"])
def test_a_page_of_another_site_cannot_use_a_gateway_without_keys(line: str) -> None:
    """A browser on this machine reaches the address as well: other sites' names and origins are turned away."""
    body = json.dumps(ASK).encode()
    with running(plain) as up:
        assert b" 403 " in asyncio.run(raw_answer(up.url, head_of(up, body, line), body)).splitlines()[0]
        assert not up.upstream_bodies


def test_bodies_that_do_not_come_count_as_requests(tmp_path: Path) -> None:
    token = add_key(tmp_path / "keys.yaml", "ann", concurrent=1)
    line = f"authorization: Bearer {token}"

    async def slow_and_then_another(up: Running) -> bytes:
        host, port = up.url.removeprefix("http://").removesuffix("/v1").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head_of(up, b"x" * 500, line).replace("\n", "\r\n").encode() + b"\r\n\r\n{")
        await writer.drain()
        while not up.gateway.limits.reading:  # noqa: ASYNC110  nothing tells when the head was read
            await asyncio.sleep(0.005)
        body = json.dumps(ASK).encode()
        answer = await raw_answer(up.url, head_of(up, body, line), body)
        writer.close()
        return answer

    with running(plain, keys=KeyRing(tmp_path / "keys.yaml")) as up:
        assert b" 429 " in asyncio.run(slow_and_then_another(up)).splitlines()[0]


def test_a_body_that_does_not_come_is_given_up() -> None:
    with running(plain, limits={"body_s": 0.05}) as up:
        assert b" 408 " in asyncio.run(raw_answer(up.url, head_of(up, b"x" * 500), b"{")).splitlines()[0]


def test_more_texts_than_can_be_scanned_are_refused() -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "x"}] * 20_001}]
    with running(plain) as up:
        assert asyncio.run(post(f"{up.url}/chat/completions", ASK | {"messages": messages}))[0] == 413


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)})
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("pieces", "closed"), [(3, False), (40, True)])
def test_a_head_without_end_closes_the_connection(pieces: int, closed: bool) -> None:
    async def sent() -> bool:
        config = uvicorn.Config(lambda: None, http=BoundedProtocol, log_level="critical")
        config.load()
        transport = Transport()
        protocol = BoundedProtocol(config=config, server_state=ServerState(), app_state={})
        protocol.connection_made(transport)
        protocol.data_received(b"POST / HTTP/1.1\r\nhost: x\r\nx-long: ")
        for _ in range(pieces):
            protocol.data_received(b"a" * 2000)
        late = protocol._late
        assert late is not None and not late.cancelled()
        was_closed = transport.closed
        protocol.connection_lost(None)
        assert late.cancelled()
        return was_closed

    assert asyncio.run(sent()) is closed
