"""The Responses API: reading requests, and answers written anew from what may go out.

Items are built here and not passed on: what the guard cannot read (encrypted reasoning, hosted tools) is not in them.
State that the upstream keeps is refused, since the guard would not see the conversation that a call comes from.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backstay.guard.gateway.answers import Choice, MalformedAnswer, ToolCall
from backstay.guard.gateway.faults import bad_request
from backstay.guard.gateway.other_fields import READ, READ_OF_MESSAGE, other_slots
from backstay.guard.gateway.outgoing import FILTERED
from backstay.guard.gateway.requests import (
    NO_CALL,
    Call,
    ModelRequest,
    Slot,
    basics,
    listed,
    note_call,
    offered,
    role_of,
    text_parts,
    tool_name,
)
from backstay.guard.gateway.settings import LimitSettings

TEXT_PARTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text", "refusal")
KEPT_ELSEWHERE = ("previous_response_id", "conversation", "prompt")
CALLS = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}
ANSWERS = ("function_call_output", "custom_tool_call_output")
IN_MESSAGE = {"output_text": "text", "refusal": "refusal"}
IN_REASONING = {"summary_text": "summary", "reasoning_text": "content"}
NOTICE = "content"
ECHOED = ("tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p", "metadata")


def read_responses(body: dict[str, Any], limits: LimitSettings) -> ModelRequest:
    """A request to the Responses API; raises ApiFault 400."""
    model, stream, _ = basics(body, "responses", 1)
    for name in KEPT_ELSEWHERE:
        if body.get(name):
            raise bad_request(f"{name} keeps the conversation where the guard does not see it; send all of it as input")
    if body.get("background"):
        raise bad_request("background is not offered here")
    request = ModelRequest("responses", body, model, stream, 1, [])
    if isinstance(body.get("instructions"), str):
        request.slots.append(Slot(body, "instructions", "system"))
    if isinstance(body.get("input"), str):
        request.slots.append(Slot(body, "input", "user"))
    else:
        calls: dict[str, Call] = {}
        items = listed(body, "input", limits.messages)
        if not items:
            raise bad_request("input is missing")
        for item in items:
            _read_item(request, item, calls)
    for tool in listed(body, "tools", limits.messages):
        if tool.get("type") not in ("function", "custom"):
            raise bad_request(f"a tool of type {str(tool.get('type'))[:40]!r} runs where no policy sees it")
        offered(request, tool_name(tool.get("name")), tool, tool.get("parameters"))
    read = READ | {"instructions"} if isinstance(body.get("instructions"), str) else READ
    request.slots.extend(other_slots(body, read))
    body["store"] = False
    return request


def _read_item(request: ModelRequest, item: dict[str, Any], calls: dict[str, Call]) -> None:
    kind = str(item.get("type", "message"))
    if kind == "message":
        role = role_of(item)
        if role == "tool":
            raise bad_request("a message has the role of a tool; outputs of tools are items of their own")
        request.slots.extend(text_parts(item, "content", role, NO_CALL, request.media, TEXT_PARTS))
    elif kind in CALLS:
        key = CALLS[kind][1]
        if not isinstance(item.get(key), str):
            raise bad_request(f"{key} of a {kind} is text")
        note_call(calls, item.get("call_id"), (tool_name(item.get("name")), item[key]))
        request.slots.append(Slot(item, key, "assistant"))
    elif kind in ANSWERS:
        answered = calls.pop(item["call_id"], NO_CALL) if isinstance(item.get("call_id"), str) else NO_CALL
        request.slots.extend(text_parts(item, "output", "tool", answered, request.media, TEXT_PARTS))
    elif kind == "reasoning":
        for key in ("summary", "content"):
            request.slots.extend(text_parts(item, key, "assistant", NO_CALL, request.media, TEXT_PARTS))
        item.pop("encrypted_content", None)
    else:
        request.media.append(kind[:40])
        return
    request.slots.extend(other_slots(item, READ_OF_MESSAGE | {"input"} if kind in CALLS else READ_OF_MESSAGE))


def text_key(output: int, part: int, kind: str) -> str:
    """The field of a choice that a part of an item is kept in; sorted they are in order."""
    return f"{output:04d}.{part:04d}.{kind}"


def read_response(answer: Mapping[str, Any]) -> list[Choice]:
    """The one choice of a whole response; raises MalformedAnswer."""
    output = answer.get("output")
    if not isinstance(output, list) or len(output) > 1000 or not all(isinstance(item, dict) for item in output):
        raise MalformedAnswer("output is not a list of items")
    choice = Choice(0, finish="stop" if answer.get("status") in ("completed", None) else str(answer.get("status"))[:20])
    for place, item in enumerate(output):
        read_output(choice, place, item)
    return [choice]


def read_output(choice: Choice, place: int, item: Mapping[str, Any]) -> None:
    """Take in one item of an answer; raises MalformedAnswer."""
    kind = str(item.get("type"))
    if kind == "message":
        _read_parts(choice, place, item.get("content"))
    elif kind == "reasoning":
        _read_parts(choice, place, item.get("summary"))
        _read_parts(choice, place, item.get("content"))
    elif kind in CALLS:
        call_kind, key = CALLS[kind]
        name, text, call_id = item.get("name"), item.get(key), item.get("call_id")
        if not isinstance(name, str) or not isinstance(text, str) or not isinstance(call_id, str):
            raise MalformedAnswer("a tool call lacks its name, its arguments or its id")
        choice.calls[place] = ToolCall(call_id, "custom" if call_kind == "custom" else "function", name, text)
    else:
        choice.dropped.add(kind[:40])


def _read_parts(choice: Choice, place: int, parts: Any) -> None:
    for number, part in enumerate(parts if isinstance(parts, list) else ()):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in IN_MESSAGE and kind not in IN_REASONING:
            choice.dropped.add(str(kind)[:40])
            continue
        text = part.get(IN_MESSAGE.get(str(kind), "text"))
        if not isinstance(text, str):
            raise MalformedAnswer(f"a {kind} holds no text")
        choice.texts[text_key(place, number, str(kind))] = text


def written_items(exchange: str, choice: Choice) -> list[dict[str, Any]]:
    """The items of an answer, in order; a notice of the guard is a message at the end."""
    places = sorted({int(key[:4]) for key in choice.texts if key != NOTICE} | choice.calls.keys())
    items = [written_item(exchange, choice, place) for place in places]
    if NOTICE in choice.texts:
        items.append(message_item(exchange, (places or [-1])[-1] + 1, [("output_text", choice.texts[NOTICE])]))
    return items


def written_item(exchange: str, choice: Choice, place: int) -> dict[str, Any]:
    """One item."""
    if place in choice.calls:
        return call_item(exchange, choice.calls[place], place)
    parts = [(key[10:], text) for key, text in sorted(choice.texts.items()) if key.startswith(f"{place:04d}.")]
    if any(kind in IN_MESSAGE for kind, _ in parts):
        return message_item(exchange, place, parts)
    reasoning: dict[str, Any] = {"type": "reasoning", "id": f"rs_{exchange}_{place}", "summary": []}
    for kind, text in parts:
        reasoning.setdefault(IN_REASONING[kind], []).append({"type": kind, "text": text})
    return reasoning


def message_item(exchange: str, place: int, parts: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A message of the assistant."""
    content = [text_part(kind, text) for kind, text in parts if kind in IN_MESSAGE]
    return {
        "type": "message",
        "id": f"msg_{exchange}_{place}",
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


def text_part(kind: str, text: str) -> dict[str, Any]:
    """A part of a message."""
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": []}


def call_item(exchange: str, call: ToolCall, place: int) -> dict[str, Any]:
    """A tool call."""
    kind = "custom_tool_call" if call.kind == "custom" else "function_call"
    told = {"type": kind, "id": f"fc_{exchange}_{place}", "call_id": call.id, "name": call.name, "status": "completed"}
    return told | {CALLS[kind][1]: call.arguments}


def written_response(
    exchange: str, request: ModelRequest, choice: Choice, frame: Mapping[str, Any], items: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A whole response; `frame` is what the upstream said around it; see `around`."""
    filtered = choice.finish == FILTERED
    status = "incomplete" if filtered or choice.finish not in ("stop", None) else "completed"
    body = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
    body |= {name: request.body[name] for name in ECHOED if name in request.body}
    return body | {
        "id": frame.get("id") or f"resp_{exchange}",
        "object": "response",
        "created_at": frame.get("created_at") or 0,
        "model": frame.get("model") or request.model,
        "status": status,
        "incomplete_details": {"reason": FILTERED} if filtered else None,
        "error": None,
        "output": list(items),
        "usage": frame.get("usage"),
    }


def parts_of(choice: Choice) -> Iterator[tuple[int, int, str, str]]:
    """Output index, part, kind and text of every text but a notice, in order."""
    for key, text in sorted(choice.texts.items()):
        if key != NOTICE:
            yield int(key[:4]), int(key[5:9]), key[10:], text
