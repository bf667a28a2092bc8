"""Single values in tools' outputs that somebody trusted stands for, as the operator declares them.

Two kinds. Of a `record` a field that nobody outside can write: its id, its owner. Of a source that the user `named`
(a page by its address, a message by its sender) the only address in it, where the user gave none himself.
"""

import json
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from backstay.guard.clues import WEAK, clue, key_of
from backstay.guard.conversation import Message
from backstay.guard.leaves import leaves
from backstay.guard.marks import KINDS, Mark, Wanted, normal
from backstay.guard.output_reading import UnreadableOutput, read_output
from backstay.guard.provenance import Origin
from backstay.guard.tool_roles import Output, ToolRoles
from backstay.scan.view import View

MAX_RECORDS = 5000
"""Records of one output; of one with more nothing is taken."""
MAX_FIELD = 500
"""Characters of a field; a longer one is no name, id or address."""


class _Answer(NamedTuple):
    """An output with what is declared of it, its records, and the values that its call was made with."""

    message: Message
    output: Output
    records: list[Any]
    asked: list[Any]


class OutputFields:
    """What is vouched for in the outputs of one conversation."""

    def __init__(self, tools: ToolRoles, messages: Sequence[Message]) -> None:
        self._tools = tools
        self._outputs = [message for message in messages if message.role == "tool"]
        self._user = "\n".join(normal(View.of(m.text)) for m in messages if m.role == "user")

    def directories(self) -> set[str]:
        """The tools in this conversation of whose outputs nobody outside writes any."""
        return {m.tool for m in self._outputs if (t := self._tools.get(m.tool)) and t.output == "trusted"}

    def values(self) -> dict[Origin, set[Hashable]]:
        """Keys (`clues.key_of`) of the values of either kind."""
        answers = [answer for message in self._outputs if (answer := _answer(message, self._tools))]
        said = self._said(text for answer in answers for text in _names(answer))
        records: set[Hashable] = set()
        alone: dict[str, set[str]] = {}
        for answer in answers:
            asked = {key_of(value) for value in answer.asked}
            records.update({key_of(value) for value in _trusted(answer, said)} - asked)
            for kind, value in _in_named(answer, said):
                alone.setdefault(kind, set()).add(value)
        lone = {key_of(*found) for kind, found in alone.items() if len(found) == 1 and not self._user_gave(kind)}
        return {"record": records, "named": lone}

    def _said(self, texts: Iterable[str]) -> set[str]:
        """Those of the texts that the user said as a whole and that are not too weak to tell; in one pass."""
        clues = {text: one for text in texts if (one := clue(text)) is not None and one != WEAK}
        found = Wanted(mark for one in clues.values() for mark in one.marks()).found_in(self._user)
        return {text for text, one in clues.items() if all(not found.isdisjoint(part) for part in one.whole)}

    def _user_gave(self, kind: str) -> bool:
        return any(True for _ in _of_kinds(self._user, (kind,)))


def _answer(message: Message, tools: ToolRoles) -> _Answer | None:
    """None where nothing single is declared of an output, or its call cannot be read."""
    declared = tools.get(message.tool)
    if declared is None or not isinstance(declared.output, Output):
        return None
    try:
        given = json.loads(message.arguments or "{}")
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, dict):
        return None
    asked = [leaf.value for leaf in leaves(given) if isinstance(leaf.value, str | int | float)]
    return _Answer(message, declared.output, _records(message, declared.output), asked)


def _records(message: Message, output: Output) -> list[Any]:
    """The records of an output; none where it cannot be read or has too many."""
    if output.format == "text":
        return []
    try:
        data = read_output(message.text, output.format)
    except UnreadableOutput:
        return []
    records = data if isinstance(data, list) else [data]
    return records if len(records) <= MAX_RECORDS else []


def _names(answer: _Answer) -> Iterator[str]:
    """All by which the user may have named a record, or the output as a whole."""
    yield from (value for value in answer.asked if isinstance(value, str))
    if answer.output.if_named is not None:
        for record in answer.records:
            yield from _fields(record, answer.output.if_named.by)


def _is_named(record: Any, output: Output, said: Collection[str]) -> bool:
    return output.if_named is not None and any(text in said for text in _fields(record, output.if_named.by))


def _trusted(answer: _Answer, said: Collection[str]) -> Iterator[str]:
    named = answer.output.if_named
    for record in answer.records:
        yield from _fields(record, answer.output.trusted)
        if named is not None and _is_named(record, answer.output, said):
            yield from _fields(record, named.fields)


def _in_named(answer: _Answer, said: Collection[str]) -> Iterator[Mark]:
    """The addresses in what the user named: in records by one of their fields, else in an output by its call."""
    output = answer.output
    if not output.lone:
        return
    if output.if_named is not None:
        texts = [t for record in answer.records if _is_named(record, output, said) for t in _all_texts(record)]
    else:
        by_name = len(answer.asked) > 0 and all(value in said for value in answer.asked)
        texts = [answer.message.text] if by_name else []
    for text in texts:
        yield from _of_kinds(normal(View.of(text)), output.lone)


def _of_kinds(text: str, kinds: Iterable[str]) -> Iterator[Mark]:
    for kind in kinds:
        for found in KINDS[kind](text):
            yield kind, found.readings[0][1]


def _fields(record: Any, paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        yield from _at(record, () if path == "." else tuple(path.split(".")))


def _at(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    """The texts at a path, in lists on the way to it as well."""
    if isinstance(value, list):
        for item in value:
            yield from _at(item, path)
    elif path:
        if isinstance(value, Mapping) and path[0] in value:
            yield from _at(value[path[0]], path[1:])
    elif isinstance(value, str) and len(value) <= MAX_FIELD:
        yield value


def _all_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _all_texts(item)
