"""Upstreams and models that try to get something past the gateway."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from guard_gateway import PERMIT_ALL, REDACT_SECRETS, call_message, chat_answer, deltas, post, running, sse
from made_secrets import token_with_check

pytestmark = pytest.mark.hostile
SECRET = token_with_check("ghp_", 7)
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
PART = {"type": "message", "content": [{"type": "output_text", "text": "x"}]}
CALL = {"id": SECRET, "type": "function", "function": {"name": "look", "arguments": "{}"}}


def answers(told: Any) -> Any:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await sse(request, told) if body.get("stream") else web.json_response(told)

    return answer


def asked(told: Any, path: str = "chat/completions", ask: dict[str, Any] = ASK, *policies: str) -> bytes:
    with running(answers(told), *policies) as up:
        return asyncio.run(post(f"{up.url}/{path}", ask | ({"stream": True} if isinstance(told, list) else {})))[1]


WHOLE = [
    {"id": SECRET},
    {"model": f"m {SECRET}"},
    {"object": SECRET},
    {"system_fingerprint": {"a": SECRET}},
    {"created": SECRET},
    {"usage": {"total_tokens": 3, "by": SECRET, SECRET: 4}},
    {"usage": SECRET},
    {"choices": [CHOICE | {"finish_reason": SECRET}]},
    {"choices": [CHOICE | {"index": SECRET}]},
    {"choices": [CHOICE | {"message": {"role": "assistant", SECRET: "x"}}]},
    {"choices": [CHOICE | {"message": {"role": "assistant", "tool_calls": [CALL]}}]},
    {"choices": [CHOICE | {"message": call_message((SECRET, {}))}]},
    {"choices": [CHOICE | {"message": {"tool_calls": [{"type": SECRET}]}}]},
]


@pytest.mark.parametrize("told", WHOLE)
def test_nothing_around_an_answer_carries_a_secret(told: dict[str, Any]) -> None:
    assert SECRET.encode() not in asked(chat_answer("x") | told)
    chunk = told | {"choices": [c | {"delta": c["message"]} for c in (chat_answer("x") | told)["choices"]]}
    ask = ASK | {"stream_options": {"include_usage": True}}
    assert SECRET.encode() not in asked([chunk, *deltas("y")], ask=ask)


@pytest.mark.parametrize("name", ["id", "model", "usage", "created_at", "status"])
def test_nothing_around_a_response_carries_a_secret(name: str) -> None:
    for value in (SECRET, {"total_tokens": 1, "by": SECRET}):
        response = {"status": "completed", "output": [PART], name: value}
        ask = {"model": "m", "input": "x"}
        assert SECRET.encode() not in asked(response, "responses", ask)
        stream = [
            {"type": "response.created", "response": response},
            {"type": "response.completed", "response": response},
        ]
        assert SECRET.encode() not in asked(stream, "responses", ask)


def test_an_error_does_not_quote_the_place_that_an_upstream_named() -> None:
    stream = [{"type": "response.output_text.delta", "output_index": SECRET, "delta": "x"}]
    assert SECRET.encode() not in asked(stream, "responses", {"model": "m", "input": "x"})


def test_a_field_that_is_a_call_in_words_is_no_text() -> None:
    rule = "{id: t, effect: forbid, match: {point: model.output}, when: 'text == \"no\"', reason: x}"
    policy = f"policy: 1\nrules:\n  - {rule}"
    chunk = {"choices": [{"index": 0, "delta": {"function_call": '{"name": "pay"}'}, "finish_reason": "stop"}]}
    assert b"pay" not in asked([chunk], "chat/completions", ASK, policy)


def test_calls_of_one_id_get_ids_of_their_own() -> None:
    """Two calls with one id would let the output of one pass for the output of the other."""
    message = call_message(("trusted", {}), ("untrusted", {}))
    for call in message["tool_calls"]:
        call["id"] = "same"
    told = json.loads(asked(chat_answer() | {"choices": [CHOICE | {"message": message}]}))
    ids = [call["id"] for call in told["choices"][0]["message"]["tool_calls"]]
    assert ids[0] == "same" and len(set(ids)) == 2


def test_a_kind_that_needs_the_whole_text_is_not_redacted_too_late() -> None:
    """A scanner of which only some kinds hold in a stream, and an obligation to redact such a kind."""
    from backstay.guard.gateway.scanning import stream_kinds
    from backstay.guard.output_plan import plan_output
    from backstay.policy import PolicyBundle, Request, parse_policy
    from backstay.scan import ScanSettings

    kinds = stream_kinds(ScanSettings())
    for what in (
        "effect: forbid, when: findings.exfiltration > 0",
        "effect: permit, obligations: [{redact: {kinds: [url_data]}}]",
        "effect: permit, obligations: [{redact: {kinds: ['*']}}]",
        "effect: forbid, when: 'findings.jwt > 0 + 2'",
    ):
        rule = f"{{id: r, match: {{point: model.output}}, {what}, reason: x}}"
        bundle = PolicyBundle.compile([("p", parse_policy(f"policy: 1\nrules:\n  - {rule}", "p"))])
        request = Request(point="model.output", findings={})
        assert plan_output(bundle.rules_at("model.output"), request, bundle.decide, kinds).whole, rule


REDACT_CALLS = REDACT_SECRETS.replace("model.output,", "model.output, model.tool_call,")


def test_a_finding_in_arguments_that_cannot_be_taken_out_denies_the_call() -> None:
    message = call_message(("look", {SECRET: 1}))
    raw = asked(chat_answer() | {"choices": [CHOICE | {"message": message}]}, "chat/completions", ASK, REDACT_CALLS)
    assert SECRET.encode() not in raw


def test_a_tool_that_was_taken_out_of_the_request_cannot_be_called() -> None:
    policy = (
        PERMIT_ALL
        + "  - {id: no-shell, effect: forbid, match: {point: request.tools, tool: shell}, reason: no shell}\n"
    )
    told = chat_answer() | {"choices": [CHOICE | {"message": call_message(("shell", {"c": "ls"}))}]}
    ask = ASK | {"tools": [{"type": "function", "function": {"name": "shell", "parameters": {}}}]}
    answer = json.loads(asked(told, "chat/completions", ask, policy))
    assert "tool_calls" not in answer["choices"][0]["message"]


def test_an_answer_that_is_packed_is_refused_and_not_unpacked() -> None:
    async def bomb(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.json_response(chat_answer("x" * 1000))
        response.enable_compression(web.ContentCoding.gzip)
        response._compression_force = web.ContentCoding.gzip
        return response

    with running(bomb) as up:
        status, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", ASK))
        assert status == 502 and b"gzip" not in raw


def test_an_answer_that_takes_too_long_as_a_whole_ends_with_an_error() -> None:
    async def drip(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for row in deltas(*"abcdefgh" * 100):
            await response.write(b"data: " + json.dumps(row).encode() + b"\n\n")
            await asyncio.sleep(0.01)
        return response

    with running(drip, upstream={"total_s": 0.2}) as up:
        _, raw, _ = asyncio.run(post(f"{up.url}/chat/completions", ASK | {"stream": True}))
        assert b'"delta"' in raw and b"[DONE]" not in raw
        assert json.loads(raw.rstrip().rpartition(b"data: ")[2])["error"]["code"] == "upstream_slow"


def test_calls_of_all_choices_together_are_bounded() -> None:
    message = call_message(*[("look", {})] * 65)
    told = chat_answer() | {"choices": [CHOICE | {"index": i, "message": message} for i in range(2)]}
    assert b"more than 128 tool calls" in asked(told, "chat/completions", ASK | {"n": 2})
