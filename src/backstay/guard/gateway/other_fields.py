"""Texts in the fields of a request that no API of ours reads: they go upstream too, and so are scanned and redacted."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.requests import Slot

READ = frozenset(
    ("model", "messages", "input", "tools", "functions", "prompt", "suffix", "stream", "stream_options", "backstay")
)
"""Fields of a body whose texts are read where they have a meaning."""
READ_OF_MESSAGE = frozenset(
    (
        *("role", "type", "id", "call_id", "tool_call_id", "status"),
        *("content", "refusal", "reasoning_content", "reasoning", "summary", "output", "audio"),
        *("tool_calls", "function_call", "arguments"),
    )
)
"""The same of a message or an item."""


class _Name(tuple[str]):
    """The name of a field as a place where a text stands; it cannot be changed without changing what is meant."""

    __slots__ = ()

    def __setitem__(self, place: int, text: str) -> None:
        raise ApiFault(403, "denied", "the name of a field holds what may not go upstream, and cannot be changed")


def other_slots(holder: Mapping[str, Any], read: Collection[str]) -> Iterator[Slot]:
    """Slots of every text in the fields that are not in `read`, names included; they vouch for nothing."""
    for name in holder.keys() - read:
        if name not in READ | READ_OF_MESSAGE:
            yield _named(name)
        if isinstance(holder[name], str):
            yield Slot(holder, name, "assistant")
        else:
            yield from _within(holder[name])


def _within(value: Any) -> Iterator[Slot]:
    stack = [value]
    while stack:
        item = stack.pop()
        pairs = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        for key, inner in pairs:
            if isinstance(key, str):
                yield _named(key)
            if isinstance(inner, str):
                yield Slot(item, key, "assistant")
            else:
                stack.append(inner)


def _named(name: str) -> Slot:
    return Slot(_Name((name,)), 0, "assistant")
