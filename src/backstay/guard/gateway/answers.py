"""Answers of models: choices with their texts and tool calls, read from whole answers and from streams."""

from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from backstay.errors import BackstayError
from backstay.guard.gateway.around import finish_of, is_word

LEGACY_CALL = -1
"""Index of a `function_call`, the older form of a tool call."""
_TOLD = frozenset({"role", "tool_calls", "function_call", "logprobs"})
MAX_CALLS = 128
MAX_FIELDS = 16


class MalformedAnswer(BackstayError):
    """An upstream's answer is not what its API says."""


@dataclass
class ToolCall:
    """A call that a model asks for; `arguments` is text that should hold a JSON object."""

    id: str = ""
    kind: Literal["function", "custom"] = "function"
    name: str = ""
    arguments: str = ""


@dataclass
class Choice:
    """One answer of several: its texts by field, and its calls by index."""

    index: int
    texts: dict[str, str] = field(default_factory=dict)
    calls: dict[int, ToolCall] = field(default_factory=dict)
    finish: str | None = None
    dropped: set[str] = field(default_factory=set)
    """Fields that the guard cannot read and does not pass on."""
    fields: set[str] = field(default_factory=set)
    """Fields that hold text."""

    def may_hold(self, name: str) -> bool:
        """Whether a field of this name may hold text: its name goes out as well, and is a plain word."""
        if name not in self.fields and is_word(name) and len(self.fields) < MAX_FIELDS:
            self.fields.add(name)
        return name in self.fields


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object from an upstream; raises MalformedAnswer."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer(f"the upstream sent no JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedAnswer("the upstream sent no JSON object")
    return value


def choices_of(answer: dict[str, Any], most: int) -> list[dict[str, Any]]:
    """The choices of an answer or chunk, each with an index of its own kind; raises MalformedAnswer."""
    choices = answer.get("choices")
    if choices is None:
        return []
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise MalformedAnswer("choices are not a list of objects")
    for choice in choices:
        index = choice.get("index", 0)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < most:
            raise MalformedAnswer(f"a choice has an index that is none of the {most} that were asked for")
    return choices


def read_message(choice: Choice, message: Any) -> None:
    """Take in the message of a whole answer, or the delta of a chunk; texts and arguments are put together."""
    if message is None:
        return
    if not isinstance(message, dict):
        raise MalformedAnswer("a choice holds no message")
    for name, value in message.items():
        if name in _TOLD or value is None or value == []:
            continue
        if isinstance(value, str) and choice.may_hold(name):
            choice.texts[name] = choice.texts.get(name, "") + value
        else:
            choice.dropped.add(name[:40])
    read_calls(choice, message)


def read_calls(choice: Choice, message: dict[str, Any]) -> None:
    """Take in tool calls, whole or in pieces; raises MalformedAnswer."""
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise MalformedAnswer("tool_calls are not a list")
    for place, call in enumerate(calls):
        if not isinstance(call, dict):
            raise MalformedAnswer("a tool call is no object")
        index = call.get("index", place)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < MAX_CALLS:
            raise MalformedAnswer("a tool call has an index that is none")
        _add_piece(choice.calls.setdefault(index, ToolCall()), call)
    old = message.get("function_call")
    if isinstance(old, dict):
        _add_piece(choice.calls.setdefault(LEGACY_CALL, ToolCall()), {"function": old})


def _add_piece(call: ToolCall, piece: dict[str, Any]) -> None:
    kind = piece.get("type") or ("custom" if "custom" in piece else call.kind)
    if kind not in ("function", "custom"):
        raise MalformedAnswer("a tool call is neither of a function nor of a custom tool")
    call.kind = kind
    inner = piece.get(kind) or {}
    if not isinstance(inner, dict):
        raise MalformedAnswer("a tool call has no function")
    given = piece.get("id")
    call.id = given if isinstance(given, str) and given else call.id
    name, text = inner.get("name") or "", inner.get("arguments" if kind == "function" else "input") or ""
    if not isinstance(name, str) or not isinstance(text, str):
        raise MalformedAnswer("name and arguments of a tool call are text")
    call.name += name
    call.arguments += text


def written_calls(choice: Choice, *, streamed: bool) -> dict[str, Any]:
    """The calls as fields of a message, or of a delta where they are streamed."""
    rows = []
    for index, call in sorted(choice.calls.items()):
        inner = {"name": call.name, ("arguments" if call.kind == "function" else "input"): call.arguments}
        if index == LEGACY_CALL:
            return {"function_call": inner}
        place = {"index": index} if streamed else {}
        rows.append(place | {"id": call.id, "type": call.kind, call.kind: inner})
    return {"tool_calls": rows} if rows else {}


def read_whole(answer: dict[str, Any], most: int, *, legacy: bool) -> list[Choice]:
    """The choices of a whole chat completion, or (legacy) completion; raises MalformedAnswer."""
    found = {}
    for raw in choices_of(answer, most):
        choice = Choice(raw.get("index", 0))
        if choice.index in found:
            raise MalformedAnswer(f"two choices have the index {choice.index}")
        found[choice.index] = choice
        read_message(choice, {"text": raw.get("text")} if legacy else raw.get("message"))
        choice.finish = finish_of(raw.get("finish_reason"))
        if raw.get("logprobs") is not None:
            choice.dropped.add("logprobs")
    if not found:
        raise MalformedAnswer("the answer has no choices")
    return [found[index] for index in sorted(found)]


def written_choice(choice: Choice, *, legacy: bool) -> dict[str, Any]:
    """A choice of a whole answer."""
    if legacy:
        return {
            "index": choice.index,
            "text": choice.texts.get("text", ""),
            "finish_reason": choice.finish,
            "logprobs": None,
        }
    texts = {"content": None} | choice.texts
    message = {"role": "assistant"} | texts | written_calls(choice, streamed=False)
    return {"index": choice.index, "message": message, "finish_reason": choice.finish, "logprobs": None}


def kept_choice(choice: Choice) -> dict[str, Any]:
    """A choice as it is kept until it is approved."""
    return {
        "index": choice.index,
        "texts": choice.texts,
        "calls": {index: vars(call) for index, call in choice.calls.items()},
        "finish": choice.finish,
    }


def choice_from(row: dict[str, Any]) -> Choice:
    """The choice that `kept_choice` wrote."""
    calls = {int(index): ToolCall(**call) for index, call in row["calls"].items()}
    return Choice(row["index"], row["texts"], calls, row["finish"])
