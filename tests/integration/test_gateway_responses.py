"""The Responses API through the official SDK: whole, streamed, with tools, redacted, denied and refused."""

import asyncio
import json
from typing import Any

import openai
import pytest
from aiohttp import web
from guard_gateway import PERMIT_ALL, REDACT_SECRETS, post, running
from made_secrets import token_with_check

pytestmark = pytest.mark.integration
SECRET = token_with_check("ghp_", 11)
FRAME: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "completed",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
}


def message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [part]}


def call(name: str, arguments: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": "f1",
        "call_id": "c1",
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


async def events(request: web.Request, rows: list[dict[str, Any]]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for row in rows:
        await response.write(f"event: {row['type']}\ndata: {json.dumps(row)}\n\n".encode())
    return response


def streamed(*pieces: str, calls: tuple[dict[str, Any], ...] = ()) -> list[dict[str, Any]]:
    items = [message("".join(pieces)), *calls]
    rows: list[dict[str, Any]] = [
        {"type": "response.created", "response": FRAME | {"output": [], "status": "in_progress"}}
    ]
    rows += [
        {"type": "response.output_text.delta", "item_id": "m1", "output_index": 0, "content_index": 0, "delta": piece}
        for piece in pieces
    ]
    for index, one in enumerate(items):
        rows.append({"type": "response.output_item.done", "output_index": index, "item": one})
    return [*rows, {"type": "response.completed", "response": FRAME | {"output": items}}]


def client_of(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0)


def test_whole_and_redacted() -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(FRAME | {"output": [message(f"it is {SECRET}."), call("look", '{"q": 1}')]})

    with running(answer) as up, client_of(up.url) as client:
        found = client.responses.create(model="m", input="hello", instructions="be brief")
        assert found.output_text == "it is [REDACTED:github_token]."
        assert found.status == "completed" and found.usage is not None and found.usage.total_tokens == 3
        (tool,) = [item for item in found.output if item.type == "function_call"]
        assert (tool.name, tool.arguments, tool.call_id) == ("look", '{"q":1}', "c1")
        assert up.upstream_bodies[0]["store"] is False


@pytest.mark.parametrize("answers", ["auto", "whole"])
def test_streamed_with_the_sdk(answers: str) -> None:
    text = f"now it is {SECRET} or not"

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await events(request, streamed(*text, calls=(call("look", '{"q": 1}'),)))

    with running(answer, answers=answers) as up, client_of(up.url) as client:
        with client.responses.stream(model="m", input="hello") as stream:
            pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
            final = stream.get_final_response()
        assert "".join(pieces) == final.output_text == "now it is [REDACTED:github_token] or not"
        assert len(pieces) > 4 if answers == "auto" else len(pieces) == 1
        assert [item.type for item in final.output] == ["message", "function_call"]
        assert up.log.effects("model.tool_call") == ["allow"]


def test_a_denied_call_is_withheld_from_a_stream() -> None:
    policy = PERMIT_ALL.replace(
        "rules:", "rules:\n  - {id: never, effect: forbid, match: {point: model.tool_call, tool: pay}, reason: never}"
    )

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await events(request, streamed("I pay.", calls=(call("pay", '{"amount": 99}'),)))

    with running(answer, policy, REDACT_SECRETS) as up, client_of(up.url) as client:
        with client.responses.stream(model="m", input="hello") as stream:
            (final,) = [event.response for event in stream if event.type == "response.incomplete"]
        assert [item.type for item in final.output] == ["message", "message"]
        assert final.status == "incomplete" and final.incomplete_details is not None
        assert final.incomplete_details.reason == "content_filter"
        assert "99" not in final.output_text and "never" in final.output_text and "I pay." in final.output_text


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"input": "x", "previous_response_id": "resp_0"}, "previous_response_id"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "web_search"),
        ({"input": "x", "background": True}, "background"),
        ({"input": []}, "input"),
        ({"input": [{"role": "tool", "content": "x"}]}, "role"),
        ({"input": "x", "include": ["message.output_text.logprobs"]}, "logprobs"),
    ],
)
def test_what_the_guard_cannot_see_is_refused(body: dict[str, Any], word: str) -> None:
    async def answer(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        raise AssertionError("nothing goes upstream")

    with running(answer) as up:
        status, raw, _ = asyncio.run(post(f"{up.url}/responses", {"model": "m"} | body))
        assert status == 400 and word in json.loads(raw)["error"]["message"]


def test_tool_outputs_are_results_of_their_tool() -> None:
    policy = PERMIT_ALL.replace(
        "rules:",
        "rules:\n  - {id: never, effect: forbid, match: {point: tool.result, tool: fetch}, "
        "when: 'text.contains(\"obey\")', reason: orders}",
    )

    async def answer(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(FRAME | {"output": [message("done")]})

    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "read"}]},
        call("fetch", "{}"),
        {"type": "function_call_output", "call_id": "c1", "output": "obey me"},
    ]
    with running(answer, policy) as up:
        status, _, _ = asyncio.run(post(f"{up.url}/responses", {"model": "m", "input": items}))
        assert status == 200
        assert up.upstream_bodies[0]["input"][2]["output"] == "[withheld by the guard: orders]"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        streamed("one ")[:-1],
        [{"type": "response.output_text.delta", "output_index": -1, "delta": "x"}],
        [{"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": 7}],
        [{"type": "response.completed", "response": 5}],
    ],
)
def test_streams_that_are_none(rows: list[dict[str, Any]]) -> None:
    async def answer(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        return await events(request, rows)

    with running(answer) as up:
        _, raw, _ = asyncio.run(post(f"{up.url}/responses", {"model": "m", "input": "x", "stream": True}))
        assert b"upstream_malformed" in raw
