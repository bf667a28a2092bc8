"""Chat completions and completions: reading requests, and answers as they are written."""

from typing import Any

from backstay.guard.gateway.faults import bad_request
from backstay.guard.gateway.other_fields import READ, READ_OF_MESSAGE, other_slots
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

TEXT_PARTS = ("text", "refusal")


def read_chat(body: dict[str, Any], limits: LimitSettings) -> ModelRequest:
    """A chat completion request; raises ApiFault 400."""
    model, stream, n = basics(body, "chat", limits.choices)
    request = ModelRequest("chat", body, model, stream, n, [])
    messages = listed(body, "messages", limits.messages)
    if not messages:
        raise bad_request("messages are missing")
    calls: dict[str, Call] = {}
    for message in messages:
        _read_message(request, message, calls)
    for tool in listed(body, "tools", limits.messages):
        _offer(request, tool)
    for function in listed(body, "functions", limits.messages):
        offered(request, tool_name(function.get("name")), function, function.get("parameters"))
    options = body.get("stream_options")
    request.include_usage = isinstance(options, dict) and options.get("include_usage") is True
    _read_prediction(request)
    request.slots.extend(other_slots(body, READ))
    return request


def read_completion(body: dict[str, Any], limits: LimitSettings) -> ModelRequest:
    """A completion request; raises ApiFault 400."""
    model, stream, n = basics(body, "completions", limits.choices)
    request = ModelRequest("completions", body, model, stream, n, [])
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        request.slots.append(Slot(body, "prompt", "user"))
    elif isinstance(prompt, list) and prompt and all(isinstance(part, str) for part in prompt):
        if len(prompt) * n > limits.choices:
            raise bad_request(f"{len(prompt)} prompts of {n} answers; at most {limits.choices} answers are given")
        request.slots.extend(Slot(prompt, place, "user") for place in range(len(prompt)))
        request.choices = len(prompt) * n
    else:
        raise bad_request("prompt is neither text nor a list of texts; numbers of tokens cannot be scanned")
    if body.get("echo"):
        raise bad_request("echo is not offered here")
    if isinstance(body.get("suffix"), str):
        request.slots.append(Slot(body, "suffix", "user"))
    best = body.get("best_of")
    if best is not None and (not isinstance(best, int) or best > limits.choices):
        raise bad_request(f"best_of can be at most {limits.choices}")
    options = body.get("stream_options")
    request.include_usage = isinstance(options, dict) and options.get("include_usage") is True
    request.slots.extend(other_slots(body, READ))
    return request


def _read_message(request: ModelRequest, message: dict[str, Any], calls: dict[str, Call]) -> None:
    role = role_of(message)
    answered = _answered(message, calls) if role == "tool" else NO_CALL
    request.slots.extend(text_parts(message, "content", role, answered, request.media, TEXT_PARTS))
    for key in ("refusal", "reasoning_content", "reasoning"):
        if isinstance(message.get(key), str):
            request.slots.append(Slot(message, key, role, *answered))
    if message.get("audio"):
        request.media.append("audio")
    request.slots.extend(other_slots(message, READ_OF_MESSAGE))
    own: dict[str, Call] = {}
    for call in listed(message, "tool_calls", 1000):
        function = call.get("function") or call.get("custom") or {}
        if not isinstance(function, dict):
            raise bad_request("a tool call has no function")
        _read_arguments(request, function)
        text = function.get("arguments") or function.get("input") or ""
        note_call(own, call.get("id"), (tool_name(function.get("name")), text))
    calls |= own
    old = message.get("function_call")
    if isinstance(old, dict):
        tool_name(old.get("name"))
        _read_arguments(request, old)


def _read_arguments(request: ModelRequest, function: dict[str, Any]) -> None:
    for key in ("arguments", "input"):
        if isinstance(function.get(key), str):
            request.slots.append(Slot(function, key, "assistant"))
        elif function.get(key) is not None:
            raise bad_request("arguments of a tool call are text that holds JSON")


def _answered(message: dict[str, Any], calls: dict[str, Call]) -> Call:
    """The call whose output a message is: by the call that it answers, never by what it says of itself."""
    if message.get("role") == "function":
        return tool_name(message.get("name")), ""
    call = message.get("tool_call_id")
    return calls.get(call, NO_CALL) if isinstance(call, str) else NO_CALL


def _offer(request: ModelRequest, tool: dict[str, Any]) -> None:
    kind = tool.get("type")
    described = tool.get(str(kind)) if kind in ("function", "custom") else None
    if not isinstance(described, dict):
        raise bad_request(
            f"a tool has the type {str(kind)[:40]!r}; functions and custom tools are guarded, others are not"
        )
    offered(request, tool_name(described.get("name")), described, described.get("parameters"))


def _read_prediction(request: ModelRequest) -> None:
    prediction = request.body.get("prediction")
    if isinstance(prediction, dict):
        request.slots.extend(text_parts(prediction, "content", "assistant", NO_CALL, request.media, TEXT_PARTS))
    modalities = request.body.get("modalities")
    if request.body.get("audio") or (isinstance(modalities, list) and "audio" in modalities):
        request.media.append("audio")
