"""The fields of tools' outputs that nobody outside can write, as the operator declares them.

Outputs are read as data only: of YAML, plain lists, mappings and texts, without aliases, anchors and tags. What is no
such data, too long, too deep or holds a key twice in one mapping has no trusted field.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from backstay.guard.conversation import Message
from backstay.guard.intent import user_words
from backstay.guard.marks import normal, words
from backstay.guard.tool_roles import Output, ToolRoles
from backstay.scan.view import View

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 24
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unreadable(ValueError):
    """An output is no plain data."""


class OutputFields:
    """What is trusted in the outputs of one conversation."""

    def __init__(self, tools: ToolRoles, messages: Sequence[Message]) -> None:
        self._tools = tools
        self._messages = messages
        self._user: str | None = None

    def is_trusted(self, message: Message) -> bool:
        """Whether nobody outside writes any of an output."""
        tool = self._tools.get(message.tool)
        return tool is not None and tool.output == "trusted"

    def __call__(self, message: Message) -> Iterator[str]:
        """The trusted fields of one output."""
        tool = self._tools.get(message.tool)
        if tool is None or not isinstance(tool.output, Output):
            return
        try:
            data = _read(message.text, tool.output.format)
        except Unreadable:
            return
        for record in data if isinstance(data, list) else [data]:
            if isinstance(record, dict):
                yield from self._of_record(record, tool.output)

    def _of_record(self, record: Mapping[str, Any], output: Output) -> Iterator[str]:
        for path in output.trusted:
            yield from _texts(record, path.split("."))
        named = output.if_named
        if named is not None and any(self._is_named(text) for path in named.by for text in _texts(record, path.split("."))):
            for path in named.fields:
                yield from _texts(record, path.split("."))

    def _is_named(self, text: str) -> bool:
        """Whether the user said all of a field, as whole words and more than a number or two letters."""
        if self._user is None:
            self._user = f" {' '.join(user_words(self._messages))} "
        wanted = " ".join(words(normal(View.of(text))))
        return len(wanted) >= 3 and not wanted.isdigit() and f" {wanted} " in self._user


def _texts(value: Any, path: Sequence[str]) -> Iterator[str]:
    """The scalars at a path, in lists on the way to it as well."""
    if isinstance(value, list):
        for item in value:
            yield from _texts(item, path)
    elif path:
        if isinstance(value, dict) and path[0] in value:
            yield from _texts(value[path[0]], path[1:])
    elif isinstance(value, str):
        yield value


def _read(text: str, written: str) -> Any:
    """An output as lists, mappings and texts; numbers as they are written."""
    if len(text) > MAX_CHARACTERS:
        raise Unreadable
    try:
        return _json(text) if written == "json" else _yaml(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise Unreadable from error


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once, parse_int=str, parse_float=str, parse_constant=str)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable
    return found


def _yaml(text: str) -> Any:
    """Built from events, so that no tag, alias or type of YAML comes into it."""
    open_: list[list[Any]] = [[]]
    kinds: list[type] = []
    for event in yaml.parse(text, Loader=_YAML):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or len(open_) > MAX_DEPTH:
            raise Unreadable
        if isinstance(event, yaml.ScalarEvent):
            open_[-1].append(event.value)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append([])
            kinds.append(dict if isinstance(event, yaml.MappingStartEvent) else list)
        elif isinstance(event, yaml.CollectionEndEvent):
            inside = open_.pop()
            open_[-1].append(_mapping(inside) if kinds.pop() is dict else inside)
    if len(open_[0]) != 1:
        raise Unreadable
    return open_[0][0]


def _mapping(inside: list[Any]) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in inside[::2]):
        raise Unreadable
    return _once(list(zip(inside[::2], inside[1::2], strict=True)))
