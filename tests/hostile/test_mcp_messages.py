"""Clients and servers of MCP that break the rules: what they send is refused, and nobody else is touched."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from guard_mcp import TOOL, VERSION, RunningMcp, events, running_mcp, scripted
from made_secrets import token_with_check

from backstay.errors import ResourceError
from backstay.guard.gateway.keys import KeyRing, add_key

pytestmark = pytest.mark.hostile
SECRET = token_with_check("ghp_", 12)
OPEN = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": VERSION, "capabilities": {"sampling": {}}},
}
CALL: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "look", "arguments": {}}}


class Peer:
    """A client that sends what it is told to."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http, self.url = http, url
        self.headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}

    async def open(self) -> "Peer":
        _, _, headers = await self.post(OPEN)
        self.headers["mcp-session-id"] = headers["mcp-session-id"]
        return self

    async def post(self, body: Any, method: str = "POST", **headers: str) -> tuple[int, Any, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.http.request(method, self.url, data=data, headers=self.headers | headers) as response:
            raw = await response.read()
            if response.content_type == "text/event-stream":
                lines = [line[6:] for line in raw.decode().split("\n") if line.startswith("data: ")]
                return response.status, [json.loads(line) for line in lines], response.headers
            return response.status, json.loads(raw) if raw else None, response.headers


def at(up: RunningMcp, use: Any) -> Any:
    async def run() -> Any:
        async with aiohttp.ClientSession() as http:
            return await use(Peer(http, up.url))

    return asyncio.run(run())


def deep(levels: int) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"


BROKEN = {
    "batch": json.dumps([CALL] * 1000).encode(),
    "empty batch": b"[]",
    "deep": deep(100),
    "very deep": deep(100_000),
    "no json": b"{",
    "no object": b'"tools/call"',
    "no version": b'{"id":1,"method":"ping"}',
    "id null": b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
    "id true": b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
    "id of a fraction": b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
    "id too long": json.dumps({"jsonrpc": "2.0", "id": "x" * 500, "method": "ping"}).encode(),
    "method no text": b'{"jsonrpc":"2.0","id":1,"method":7}',
    "params a list": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}',
    "request and answer": b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}',
    "result and error": b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}',
    "lone surrogate": b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}',
}


def test_what_is_no_message_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    async def use(peer: Peer) -> Any:
        await peer.open()
        return {name: await peer.post(raw) for name, raw in BROKEN.items()}

    with running_mcp(scripted(), tmp_path) as up:
        for name, (status, body, _) in at(up, use).items():
            assert status == 400 and body["error"]["code"] in (-32700, -32600), (name, status, body)
        assert up.log.effects("model.tool_call") == []


def test_bodies_kinds_and_methods_of_http(tmp_path: Path) -> None:
    async def use(peer: Peer) -> Any:
        await peer.open()
        big = await peer.post(b" " * 20_000)
        text = await peer.post(CALL, **{"content-type": "text/plain"})
        put = await peer.post(CALL, "PUT")
        again = await peer.post(b"", "GET", **{"last-event-id": "1"})
        twice = await peer.post(OPEN)
        return [answer[0] for answer in (big, text, put, again, twice)]

    with running_mcp(scripted(), tmp_path, limits={"message_bytes": 10_000}) as up:
        assert at(up, use) == [413, 415, 405, 400, 400]


def test_pages_of_other_origins_and_names_bent_to_this_machine_are_refused(tmp_path: Path) -> None:
    async def use(peer: Peer) -> Any:
        given = [
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"host": "evil.example"},
            {"origin": "http://localhost:3000"},
            {"origin": "https://app.example.com"},
        ]
        return [(await peer.post(OPEN, **headers))[0] for headers in given]

    with running_mcp(scripted(), tmp_path, limits={"origins": ["https://app.example.com"]}) as up:
        assert at(up, use) == [403, 403, 403, 200, 200]


def test_a_session_is_of_its_principal_and_its_id_cannot_be_guessed(tmp_path: Path) -> None:
    tokens = {name: add_key(tmp_path / "keys.yaml", name) for name in ("ada", "eve")}

    async def use(peer: Peer) -> Any:
        none = await peer.post(CALL)
        peer.headers["authorization"] = f"Bearer {tokens['ada']}"
        await peer.open()
        mine = await peer.post(CALL)
        theirs = await peer.post(CALL, authorization=f"Bearer {tokens['eve']}")
        ended = await peer.post(b"", "DELETE", authorization=f"Bearer {tokens['eve']}")
        unknown = await peer.post(CALL, **{"mcp-session-id": "far-session"})
        still = await peer.post(CALL)
        over = await peer.post(b"", "DELETE")
        gone = await peer.post(CALL)
        return peer.headers["mcp-session-id"], [a[0] for a in (none, mine, theirs, ended, unknown, still, over, gone)]

    with running_mcp(scripted(), tmp_path / "pins", keys=KeyRing(tmp_path / "keys.yaml")) as up:
        session, statuses = at(up, use)
    assert statuses == [401, 200, 404, 404, 404, 200, 204, 404]
    assert len(session) >= 43 and session != "far-session"  # 256 random bits, and never the server's own id.


def test_a_principal_has_only_so_many_sessions(tmp_path: Path) -> None:
    async def use(peer: Peer) -> Any:
        return [(await peer.post(OPEN))[0] for _ in range(4)]

    with running_mcp(scripted(), tmp_path, limits={"sessions": 3}) as up:
        assert at(up, use) == [200, 200, 200, 429]


def test_answers_to_requests_that_were_never_made_are_refused(tmp_path: Path) -> None:
    seen: list[Any] = []

    def respond(body: dict[str, Any]) -> web.Response:
        seen.append(body)
        return web.Response(status=202)

    async def use(peer: Peer) -> Any:
        await peer.open()
        forged = [{"jsonrpc": "2.0", "id": i, "result": {"model": "m"}} for i in (0, 1, "1", "far")]
        return [(await peer.post(body))[0] for body in forged]

    with running_mcp(scripted(response=respond), tmp_path) as up:
        assert at(up, use) == [400, 400, 400, 400]
    assert seen == []


def test_methods_and_parameters_that_are_not_known_are_not_passed_on(tmp_path: Path) -> None:
    def fail(body: dict[str, Any]) -> Any:
        raise AssertionError(body)

    async def use(peer: Peer) -> Any:
        await peer.open()
        asked: list[dict[str, Any]] = [
            {"method": "tasks/list"},
            {"method": "sampling/createMessage", "params": {}},
            {"method": "tools/call", "params": CALL["params"] | {"task": {"ttl": 1}}},
            {"method": "tools/call", "params": CALL["params"] | {"arguments": [1]}},
            {"method": "tools/call", "params": CALL["params"] | {"name": "l\u043eok"}},
            {"method": "tools/call", "params": CALL["params"] | {"name": ["look"]}},
        ]
        return [(await peer.post({"jsonrpc": "2.0", "id": 5} | one))[1]["error"]["code"] for one in asked]

    with running_mcp(scripted(tools_call=fail, tasks_list=fail), tmp_path) as up:
        assert at(up, use) == [-32601, -32601, -32602, -32602, -32010, -32010]


def test_an_id_that_waits_cannot_be_used_again_but_another_type_of_it_can(tmp_path: Path) -> None:
    gate, begun = asyncio.Event(), threading.Event()

    async def far(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body.get("method") == "tools/call":
            begun.set()
            await gate.wait()
        if body.get("method") == "ping":
            gate.set()
        return await scripted()(request, body)

    async def use(peer: Peer) -> Any:
        await peer.open()
        first = asyncio.ensure_future(peer.post(CALL | {"id": 7}))
        assert await asyncio.to_thread(begun.wait, 5)
        twice = await peer.post(CALL | {"id": 7})
        other = await peer.post({"jsonrpc": "2.0", "id": "7", "method": "ping"})
        return twice[0], other[1], (await first)[1]["id"]

    with running_mcp(far, tmp_path) as up:
        assert at(up, use) == (400, {"jsonrpc": "2.0", "id": "7", "result": {}}, 7)


def result(text: str, far: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": far, "result": {"content": [{"type": "text", "text": text}]}}


def call_with(up: RunningMcp, **headers: str) -> tuple[int, Any]:
    async def use(peer: Peer) -> Any:
        await peer.open()
        status, body, _ = await peer.post(CALL, **headers)
        return status, body

    told: tuple[int, Any] = at(up, use)
    return told


def test_only_the_answer_to_the_request_is_an_answer(tmp_path: Path) -> None:
    def far(body: dict[str, Any]) -> list[Any]:
        wrong = [result("forged", given) for given in (body["id"] + 1, str(body["id"]), "client", -1)]
        return [*wrong, {"content": [{"type": "text", "text": "true"}]}, result("late", body["id"])]

    with running_mcp(scripted(tools_call=far), tmp_path) as up:
        status, answer = call_with(up)
    assert status == 200 and answer["id"] == 1 and answer["result"]["content"][0]["text"] == "true"


def test_an_answer_with_another_id_only_is_none(tmp_path: Path) -> None:
    with running_mcp(scripted(tools_call=lambda body: result("forged", "x")), tmp_path) as up:
        status, body = call_with(up)
    assert status == 502 and body["error"]["code"] == -32012 and "forged" not in json.dumps(body)


FAR_FAULTS: dict[str, Any] = {
    "giant event": [b"data: " + b"x" * 50_000 + b"\n\n"],
    "giant event without end": [b"data: " + b"x" * 50_000],
    "many data lines": [b"data: xxxxxxxxxx\n" * 5000 + b"\n"],
    "deep": [b"data: " + deep(100) + b"\n\n"],
    "batch": [b'data: [{"jsonrpc":"2.0","id":2,"result":{}}]\n\n'],
    "no json": [b"data: hello\n\n"],
    "torn": [b'data: {"jsonrpc":'],
    "no answer": [b": nothing\n\n"],
    "content no list": {"content": "text"},
    "content of texts": {"content": ["text"]},
    "data no object": {"content": [], "structuredContent": [1]},
    "a task": {"resultType": "task", "taskId": "1"},
    "whole answer too long": {"content": [{"type": "text", "text": "x" * 50_000}]},
    "a flood": [{"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": i}} for i in range(60)],
}


@pytest.mark.parametrize("name", FAR_FAULTS)
def test_servers_that_break_the_protocol_give_an_error_and_nothing_else(name: str, tmp_path: Path) -> None:
    limits = {"message_bytes": 20_000, "stream_messages": 50}
    with running_mcp(scripted(tools_call=FAR_FAULTS[name]), tmp_path, limits=limits) as up:
        _, body = call_with(up)
    answer = body[-1] if isinstance(body, list) else body
    assert answer["id"] == 1 and answer["error"]["code"] == -32012, body
    assert "not what it should be" in answer["error"]["message"]


def test_redirects_are_not_followed_and_refusals_are_not_told_in_the_servers_words(tmp_path: Path) -> None:
    def moved(body: dict[str, Any]) -> web.Response:
        return web.Response(status=307, headers={"location": "http://169.254.169.254/"})

    def refused(body: dict[str, Any]) -> web.Response:
        return web.json_response({"jsonrpc": "2.0", "id": None, "error": {"code": 1, "message": SECRET}}, status=401)

    for far, words in ((moved, "not followed"), (refused, "refuses the gateway")):
        with running_mcp(scripted(tools_call=far), tmp_path) as up:
            status, body = call_with(up)
        assert status == 502 and words in body["error"]["message"] and SECRET not in json.dumps(body)


def test_errors_of_servers_are_redacted_and_keep_their_code(tmp_path: Path) -> None:
    def far(body: dict[str, Any]) -> dict[str, Any]:
        return {
            "jsonrpc": "2.0",
            "id": body["id"],
            "error": {"code": -32000, "message": f"no {SECRET}", "data": [SECRET]},
        }

    with running_mcp(scripted(tools_call=far), tmp_path) as up:
        _, body = call_with(up)
    assert body["error"]["code"] == -32000
    assert body["error"]["message"] == "no [REDACTED:github_token]" and body["error"]["data"] == [
        "[REDACTED:github_token]"
    ]


def test_a_secret_that_no_single_text_holds_withholds_the_result(tmp_path: Path) -> None:
    """A key of an object cannot be replaced."""
    far = {"content": [], "structuredContent": {SECRET: 1}}
    with running_mcp(scripted(tools_call=far), tmp_path) as up:
        _, body = call_with(up)
    assert body["result"]["isError"] is True and SECRET not in json.dumps(body)


@pytest.mark.parametrize("allowed", [False, True])
def test_pictures_and_files_pass_only_where_media_are_allowed(allowed: bool, tmp_path: Path) -> None:
    parts = [
        {"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"},
        {"type": "resource", "resource": {"uri": "a://b", "blob": "aGVsbG8="}},
        {"type": "hologram", "beam": "aGVsbG8="},
    ]
    with running_mcp(
        scripted(tools_call={"content": parts}), tmp_path, gateway={"media": "allow"} if allowed else {}
    ) as up:
        _, body = call_with(up)
    assert json.dumps(body).count("aGVsbG8=") == (2 if allowed else 0)
    assert "no scanner reads a part of this kind" in json.dumps(body)


def test_a_server_that_asks_without_end_is_cut_off_and_the_client_hears_nothing(tmp_path: Path) -> None:
    answers: list[Any] = []

    def asking(body: dict[str, Any]) -> list[Any]:
        one = {"jsonrpc": "2.0", "method": "sampling/createMessage", "params": {"messages": []}}
        return [one | {"id": i} for i in range(30)]

    def respond(body: dict[str, Any]) -> web.Response:
        answers.append(body["error"]["code"])
        return web.Response(status=202)

    with running_mcp(scripted(tools_call=asking, response=respond), tmp_path, limits={"stream_messages": 20}) as up:
        _, body = call_with(up)
    assert body["error"]["code"] == -32012 and answers == [-32010] * 20


def test_unknown_news_and_progress_that_nobody_awaits_are_dropped(tmp_path: Path) -> None:
    def far(body: dict[str, Any]) -> list[Any]:
        news = [
            ("notifications/invented", {"text": "x"}),
            ("notifications/progress", {"progressToken": "other", "progress": 1}),
            ("notifications/cancelled", {"requestId": 1}),
            ("notifications/message", {"level": "info", "data": "kept", "foreign": "dropped"}),
        ]
        told = [{"jsonrpc": "2.0", "method": method, "params": params} for method, params in news]
        return [*told, {"content": []}]

    with running_mcp(scripted(tools_call=far), tmp_path) as up:
        _, body = call_with(up)
    assert [one.get("params") for one in body[:-1]] == [{"level": "info", "data": "kept"}]


LISTINGS: dict[str, tuple[Any, str]] = {
    "two of a name": ([TOOL, TOOL | {"description": "Other."}], ""),
    "names that look alike": ([TOOL, TOOL | {"name": "Look"}, TOOL | {"name": "l00k"}], ""),
    "a pinned one and its lookalike": ([TOOL | {"name": "pay"}, TOOL | {"name": "PAY"}], "pay"),
    "letters of another alphabet": ([TOOL, TOOL | {"name": "l\u043eok"}], "look"),
    "no schema": ([{"name": "look", "description": "x"}, TOOL | {"name": "pay"}], "pay"),
    "no names": ([{}, 7, None, TOOL], "look"),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_tools_that_could_be_taken_for_others_are_left_out(name: str, tmp_path: Path) -> None:
    tools, expected = LISTINGS[name]

    async def use(peer: Peer) -> Any:
        await peer.open()
        _, body, _ = await peer.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        return [tool["name"] for tool in body["result"]["tools"]]

    with running_mcp(scripted(tools_list={"tools": tools}), tmp_path) as up:
        if "pinned" in name:
            up.pins.check("far", TOOL | {"name": "pay"}, first=True)
        assert at(up, use) == ([expected] if expected else [])


def test_pages_of_tools_without_end_are_refused(tmp_path: Path) -> None:
    def page(body: dict[str, Any]) -> dict[str, Any]:
        return {"tools": [], "nextCursor": "more"}

    async def use(peer: Peer) -> Any:
        await peer.open()
        return (await peer.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))[1]["error"]["message"]

    with running_mcp(scripted(tools_list=page), tmp_path) as up:
        assert "more than 100 pages" in at(up, use)


def test_headers_of_the_stateless_revision_say_what_the_body_says(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def far(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        seen.append({name.lower(): value for name, value in request.headers.items() if name.lower().startswith("mcp-")})
        schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
        return await scripted(tools_list={"tools": [TOOL | {"inputSchema": schema}]})(request, body)

    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    call = CALL | {"params": {"name": "look", "arguments": {"region": "no\u0308rd"}, "_meta": meta}}
    good = {
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "look",
        "mcp-param-region": "forged",
    }

    async def use(peer: Peer) -> Any:
        given = [
            good,
            good | {"mcp-method": "ping"},
            good | {"mcp-name": "pay"},
            good | {"mcp-protocol-version": "2099-01-01"},
        ]
        return [(await peer.post(call, **headers))[1].get("error", {}).get("code") for headers in given]

    with running_mcp(far, tmp_path) as up:
        assert at(up, use) == [None, -32020, -32020, -32020]
    expected = good | {"mcp-param-region": "=?base64?bm/MiHJk?="}
    assert [one["mcp-method"] for one in seen] == ["tools/list", "tools/call"] and seen[1] == expected


def test_a_server_that_forgot_its_session_ends_ours(tmp_path: Path) -> None:
    async def use(peer: Peer) -> Any:
        await peer.open()
        first = await peer.post(CALL)
        return first[0], first[1]["error"]["message"], (await peer.post(CALL))[0], len(up.proxy.sessions)

    with running_mcp(scripted(tools_call=lambda body: web.Response(status=404)), tmp_path) as up:
        assert at(up, use) == (404, "the server ended this session; initialize again", 404, 0)


def test_capabilities_are_hidden_from_servers_that_may_not_use_them(tmp_path: Path) -> None:
    seen: list[Any] = []

    def opening(body: dict[str, Any]) -> dict[str, Any]:
        seen.append(body["params"]["capabilities"])
        return {
            "protocolVersion": VERSION,
            "capabilities": {"tools": {}, "tasks": {}, "experimental": {"x": {}}},
            "serverInfo": {},
        }

    async def use(peer: Peer) -> Any:
        return (await peer.post(OPEN))[1]["result"]["capabilities"]

    with running_mcp(scripted(initialize=opening), tmp_path) as up:
        assert at(up, use) == {"tools": {}}
    assert seen == [{}]


def test_where_the_audit_cannot_be_written_nothing_goes_out(tmp_path: Path) -> None:
    def fail(body: dict[str, Any]) -> Any:
        raise AssertionError(body)

    async def use(peer: Peer) -> Any:
        await peer.open()
        await peer.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        up.log.broken = ResourceError("the disk is full")
        return await peer.post(CALL)

    with running_mcp(scripted(tools_call=fail), tmp_path) as up:
        status, body, _ = at(up, use)
    assert status == 503 and body["error"]["code"] == -32013 and "nothing is let through" in body["error"]["message"]


def test_a_pin_that_cannot_be_read_lets_nothing_through(tmp_path: Path) -> None:
    def spoil() -> None:
        (path,) = tmp_path.glob("far/*.json")
        path.write_text("{}")

    async def use(peer: Peer) -> Any:
        await peer.open()
        await peer.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        spoil()
        return await peer.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})

    with running_mcp(scripted(), tmp_path) as up:
        status, body, _ = at(up, use)
    assert status == 503 and "is no pin" in body["error"]["message"]


def test_a_client_that_goes_away_ends_its_request_at_the_server(tmp_path: Path) -> None:
    broken_off, begun = asyncio.Event(), threading.Event()

    async def far(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body.get("method") != "tools/call":
            return await scripted()(request, body)
        try:
            response = await events(request, [b": begun\n\n"], body["id"])
            begun.set()
            while True:
                await response.write(b": still\n\n")
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            broken_off.set()
            raise

    async def use(peer: Peer) -> Any:
        await peer.open()
        call = asyncio.ensure_future(peer.post(CALL))
        assert await asyncio.to_thread(begun.wait, 5)
        call.cancel()
        await asyncio.wait([call])

    with running_mcp(far, tmp_path) as up:
        at(up, use)
        up.loop.call(asyncio.wait_for(broken_off.wait(), 5))
        assert up.proxy.sessions.every()[0].running == {}
    assert [outcome.status for outcome in up.log.outcomes] == ["ok", "client_gone"]


def test_the_stream_beside_answers_is_decided_too(tmp_path: Path) -> None:
    """One for a session; news pass, secrets in them do not, answers and requests do not."""

    async def far(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if request.method != "GET":
            return await scripted()(request, body)
        told = [
            {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": f"see {SECRET}"}},
            {"jsonrpc": "2.0", "id": 1, "result": {"content": []}},
            {"jsonrpc": "2.0", "id": 9, "method": "sampling/createMessage", "params": {}},
            {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "a://b"}},
        ]
        assert request.headers["mcp-session-id"] == "far-session"
        return await events(request, [b"id: 1\ndata:\n\n", *told], 0)

    async def use(peer: Peer) -> Any:
        await peer.open()
        return await peer.post(b"", "GET")

    with running_mcp(far, tmp_path) as up:
        status, told, headers = at(up, use)
    assert status == 200 and headers["content-type"] == "text/event-stream"
    assert [one["params"] for one in told] == [
        {"level": "info", "data": "see [REDACTED:github_token]"},
        {"uri": "a://b"},
    ]
    assert len(up.why("guard:client-request")) == 1


def test_limits_of_rules_hold_for_calls_at_the_same_time(tmp_path: Path) -> None:
    policy = """
policy: 1
counters:
  looked: {count: true, tool: far/look}
rules:
  - {id: twice, effect: permit, match: {point: model.tool_call}, when: counter.looked < 2, reason: two are enough}
"""

    async def use(peer: Peer) -> Any:
        await peer.open()
        answers = await asyncio.gather(*(peer.post(CALL | {"id": i}) for i in range(1, 9)))
        return sorted("result" in body for _, body, _ in answers)

    with running_mcp(scripted(), tmp_path, policy) as up:
        assert at(up, use) == [False] * 6 + [True] * 2
