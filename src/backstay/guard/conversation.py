"""A conversation as the guard reads it: who said what, in order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
_ROLES: dict[Any, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `tool` is the name of the tool whose output it is, `arguments` what it was called with, as JSON."""

    role: Role
    text: str
    tool: str = ""
    arguments: str = ""


def from_openai(messages: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Messages of a chat completion request; what has an unknown role counts as a tool's output, the least trusted.

    Tools are named after the calls that their outputs answer. Only text is read, of content in parts too.
    """
    calls: dict[Any, tuple[str, str]] = {}
    read = []
    for message in messages:
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            calls[call.get("id")] = str(function.get("name") or ""), _text(function.get("arguments"))
        role = _ROLES.get(message.get("role"), "tool")
        called = calls.get(message.get("tool_call_id"), ("", "")) if role == "tool" else ("", "")
        read.append(Message(role, _text(message.get("content")), *called))
    return read


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "\n".join(str(part.get("text") or "") for part in parts if isinstance(part, Mapping))
