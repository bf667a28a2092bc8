"""The three APIs behind one shape: how a request is read, how an answer is read, streamed and written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

import orjson

from backstay.guard.gateway.answers import Choice, read_whole, written_choice
from backstay.guard.gateway.around import frame_of, usage_of
from backstay.guard.gateway.chat import read_chat, read_completion
from backstay.guard.gateway.context import Context
from backstay.guard.gateway.requests import Api, ModelRequest
from backstay.guard.gateway.responses import read_response, read_responses, written_items, written_response
from backstay.guard.gateway.responses_stream import StreamedResponse
from backstay.guard.gateway.settings import LimitSettings
from backstay.guard.gateway.sse import DONE, event_bytes
from backstay.guard.gateway.streamed import Streamed
from backstay.guard.gateway.streaming import StreamedAnswer
from backstay.guard.output_plan import OutputPlan


@dataclass(frozen=True)
class Wire:
    """One API."""

    path: str
    read: Callable[[dict[str, Any], LimitSettings], ModelRequest]
    read_answer: Callable[[dict[str, Any], ModelRequest], list[Choice]]
    write_answer: Callable[[Context, Sequence[Choice], Mapping[str, Any]], dict[str, Any]]
    stream: Callable[[Context, OutputPlan], Streamed]
    made_stream: Callable[[Context, list[Choice], Mapping[str, Any]], bytes]
    """The events of an answer that no model is streaming; the facts are told beside it."""


def _write_choices(context: Context, choices: Sequence[Choice], said: Mapping[str, Any]) -> dict[str, Any]:
    legacy = context.request.api == "completions"
    told = _frame(context) | frame_of(context.scans, said)
    usage = usage_of(said.get("usage"))
    told |= {} if usage is None else {"usage": usage}
    told["choices"] = [written_choice(choice, legacy=legacy) for choice in choices]
    return told


def _frame(context: Context) -> dict[str, Any]:
    kind = "text_completion" if context.request.api == "completions" else "chat.completion"
    model = context.request.model
    return {"id": f"guard-{context.exchange.id}", "object": kind, "created": int(time()), "model": model}


def _made_chunks(context: Context, choices: list[Choice], facts: Mapping[str, Any]) -> bytes:
    frame = _frame(context)
    if context.request.api == "chat":
        frame["object"] = "chat.completion.chunk"
    chunks = StreamedAnswer.made(context, frame, choices)
    return chunks + event_bytes(orjson.dumps(frame | {"choices": []} | dict(facts))) + DONE


def _write_response(context: Context, choices: Sequence[Choice], said: Mapping[str, Any]) -> dict[str, Any]:
    exchange = context.exchange.id
    frame = frame_of(context.scans, said) | {"usage": usage_of(said.get("usage"))}
    return written_response(exchange, context.request, choices[0], frame, written_items(exchange, choices[0]))


WIRES: Mapping[Api, Wire] = {
    "chat": Wire(
        "/chat/completions",
        read_chat,
        lambda answer, request: read_whole(answer, request.choices, legacy=False),
        _write_choices,
        StreamedAnswer,
        _made_chunks,
    ),
    "completions": Wire(
        "/completions",
        read_completion,
        lambda answer, request: read_whole(answer, request.choices, legacy=True),
        _write_choices,
        StreamedAnswer,
        _made_chunks,
    ),
    "responses": Wire(
        "/responses",
        read_responses,
        lambda answer, _: read_response(answer),
        _write_response,
        StreamedResponse,
        lambda context, choices, _: StreamedResponse.made(context, choices),
    ),
}
