"""What the gateway does when something fails: it lets nothing through, says why, and loses nothing."""

import asyncio
import contextlib
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from guard_gateway import PERMIT_ALL, REDACT_SECRETS, chat_answer, deltas, post, running, sse

from backstay.errors import ResourceError
from backstay.records import Finding

pytestmark = pytest.mark.integration
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
STREAM = ASK | {"stream": True}


def error_of(raw: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(raw)["error"]
    return found


async def plain(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    return web.json_response(chat_answer("fine"))


def test_upstream_down() -> None:
    with running(plain, upstream={"base_url": "http://127.0.0.1:9/v1", "retries": 1}) as up:
        status, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", ASK))
        assert status == 502 and error_of(raw)["code"] == "upstream_down"
        assert up.ended().status == "upstream_down"


def test_upstream_that_recovers_is_asked_again() -> None:
    tries = []

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        tries.append(1)
        return web.json_response({}, status=503) if len(tries) < 2 else web.json_response(chat_answer("fine"))

    with running(answer, upstream={"retries": 2}) as up:
        status, _, _ = asyncio.run(post(f"{up.url}/chat/completions", ASK))
        assert status == 200 and len(tries) == 2


@pytest.mark.parametrize(
    ("given", "told", "code"),
    [
        (400, 400, "upstream_refused"),
        (429, 429, "rate_limited"),
        (500, 502, "upstream_error"),
        (302, 502, "upstream_error"),
    ],
)
def test_upstream_errors_are_told(given: int, told: int, code: str) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        headers = {"location": "http://127.0.0.1:9/elsewhere"}
        return web.json_response({"error": {"message": "the context is too long"}}, status=given, headers=headers)

    with running(answer) as up:
        status, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", ASK))
        assert (
            status == told and error_of(raw)["code"] == code and "the context is too long" in error_of(raw)["message"]
        )


@pytest.mark.parametrize("body", [ASK, STREAM])
def test_upstream_silent(body: dict[str, Any]) -> None:
    async def answer(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        if not body.get("stream"):
            await asyncio.sleep(5)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: " + json.dumps(deltas("one ")[0]).encode() + b"\n\n")
        await asyncio.sleep(5)
        return response

    with running(answer, upstream={"first_byte_s": 0.3, "idle_s": 0.3}) as up:
        status, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", body))
        if body.get("stream"):
            assert status == 200 and b"upstream_slow" in raw and b"[DONE]" not in raw
        else:
            assert status == 504 and error_of(raw)["code"] == "upstream_slow"


@pytest.mark.parametrize(
    ("body", "raw_answer", "kind"),
    [
        (ASK, b"<html>not json</html>", "application/json"),
        (ASK, b'{"choices": []}', "application/json"),
        (ASK, b'{"choices": [{"index": 7, "message": {"content": "x"}}]}', "application/json"),
        (ASK, b'{"choices": [{"index": 0, "message": "text"}]}', "application/json"),
        (ASK, json.dumps(chat_answer("fine")).encode(), "text/html"),
        (ASK, b'data: {"choices": []}\n\n', "text/event-stream"),
        (STREAM, json.dumps(chat_answer("fine")).encode(), "application/json"),
        (STREAM, b"data: {not json}\n\n", "text/event-stream"),
        (STREAM, b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n', "text/event-stream"),
        (STREAM, b'data: {"choices": [{"index": 0, "delta": {"content": "x"}', "text/event-stream"),
        (STREAM, b'data: {"choices": [{"index": 3, "delta": {"content": "x"}}]}\n\n', "text/event-stream"),
        (STREAM, b"", "text/event-stream"),
        (STREAM, b"data: [DONE]\n\n", "text/event-stream"),
        (STREAM, b"data: " + b"x" * 6_000_000, "text/event-stream"),
    ],
)
def test_upstream_malformed(body: dict[str, Any], raw_answer: bytes, kind: str) -> None:
    async def answer(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=raw_answer, headers={"content-type": kind})

    with running(answer) as up:
        status, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", body))
        assert b"upstream_malformed" in raw, (status, raw[:200])
        assert up.ended().status == "upstream_malformed"


def test_an_error_within_a_stream_ends_it() -> None:
    async def answer(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        return await sse(request, [*deltas("one ")[:1], {"error": {"message": "out of memory"}}], done=False)

    with running(answer) as up:
        _, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", STREAM))
        assert b"one" in raw and b"out of memory" in raw and b"[DONE]" not in raw


@pytest.mark.parametrize("body", [ASK, STREAM])
def test_a_ledger_that_cannot_write_lets_nothing_through(body: dict[str, Any]) -> None:
    with running(plain) as up:
        up.log.broken = ResourceError("no space left on the disk")
        status, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", body))
        assert status == 503 and error_of(raw)["code"] == "guard_unavailable" and "no space" in error_of(raw)["message"]
        assert up.upstream_bodies == []


def test_a_ledger_that_fails_while_the_model_answers_withholds_the_answer() -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        up.log.broken = ResourceError("the database is locked")
        return web.json_response(chat_answer("what the model said"))

    with running(answer) as up:
        status, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", ASK))
        assert status == 503 and b"what the model said" not in raw


@pytest.mark.parametrize("on_unscanned", ["deny", "rules"])
def test_a_scanner_that_does_not_finish(on_unscanned: str) -> None:
    def scan(text: str, point: str) -> tuple[Finding, ...]:
        return (Finding(scanner="slow", kind="not_scanned", severity="high"),) if "slow" in text else ()

    ask = ASK | {"messages": [{"role": "user", "content": "slow text"}]}
    with running(plain, scan=scan, on_unscanned=on_unscanned) as up:
        status, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", ask))
        assert status == (403 if on_unscanned == "deny" else 200), raw


def test_a_scanner_that_crashes_is_an_unavailable_guard() -> None:
    def scan(text: str, point: str) -> tuple[Finding, ...]:
        raise ZeroDivisionError

    with running(plain, scan=scan) as up:
        status, _, _ = asyncio.run(post(f"{up.url}/chat/completions", ASK))
        assert status == 503 and up.upstream_bodies == []


def test_a_client_that_goes_away_ends_the_work_and_is_in_the_journal() -> None:
    gone = asyncio.Event()

    async def answer(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _step in range(500):
                await response.write(b"data: " + json.dumps(deltas("one two ")[0]).encode() + b"\n\n")
                await asyncio.sleep(0.01)
        gone.set()
        return response

    async def leave(url: str) -> None:
        async with aiohttp.ClientSession() as session, session.post(url, json=STREAM) as response:
            await response.content.readany()

    with running(answer) as up:
        asyncio.run(leave(f"{up.url}/chat/completions"))
        assert up.ended().status == "client_gone"
        assert up.log.outcomes[0].tokens > 0  # Leaving early does not make an answer free.
        assert up.log.effects("model.output") == ["allow"]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 400, "object"),
        (b'{"messages": []}', 400, "model"),
        ({"model": "m", "messages": []}, 400, "messages"),
        ({"model": "m", "messages": [{"role": "king", "content": "x"}]}, 400, "king"),
        ({"model": "m", "messages": [{"role": "user", "content": 7}]}, 400, "content"),
        ({"model": "m\u0430", "messages": []}, 400, "model"),
        (ASK | {"n": 0}, 400, "n is 0"),
        (ASK | {"n": True}, 400, "n is True"),
        (ASK | {"n": 1000}, 400, "1000"),
        (ASK | {"stream": "yes"}, 400, "stream"),
        (ASK | {"logprobs": True}, 400, "logprobs"),
        (ASK | {"tools": [{"type": "web_search"}]}, 400, "web_search"),
        (ASK | {"tools": [{"type": "function", "function": {"name": "p\u0430y"}}]}, 400, "named"),
        (
            ASK | {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            403,
            "image_url",
        ),
        (b'{"model": "m", "messages": [{"role": "user", "content": ' + b"[" * 5000 + b"]" * 5000 + b"}]}", 400, ""),
        (b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}', 400, "JSON"),
    ],
)
def test_bad_requests_are_told_and_go_nowhere(body: Any, status: int, word: str) -> None:
    with running(plain) as up:
        told, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", body))
        assert told == status and word in error_of(raw)["message"], raw
        assert up.upstream_bodies == []


def test_a_body_that_is_too_long_is_not_read() -> None:
    with running(plain, limits={"body_bytes": 2000}) as up:
        status, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", b"x" * 5000))
        assert status == 413 and error_of(raw)["code"] == "too_large"


def test_unknown_paths_say_what_is_served() -> None:
    with running(plain) as up:
        status, raw, _ = asyncio.run(post(f"{up.url}/embeddings", ASK))
        assert status == 404 and "/v1/chat/completions" in error_of(raw)["message"]


def test_a_choice_that_is_deep_is_denied_and_not_a_crash() -> None:
    deep = '{"a": ' * 400 + "1" + "}" * 400

    async def answer(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": deep}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        return web.json_response(
            chat_answer() | {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
        )

    with running(answer, PERMIT_ALL, REDACT_SECRETS) as up:
        status, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", ASK))
        assert status == 200 and b"tool_calls" not in raw and b"content_filter" in raw
