"""Where the arguments of a tool call came from, told without a model: who said the value, in whatever spelling.

The trusted (user, system, a directory) must have said the whole of a value; of a tool's output a part is enough. So an
error makes a policy ask once too often, not once too seldom.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from backstay.guard.clues import WEAK, Clue, clue
from backstay.guard.conversation import Message
from backstay.guard.marks import Mark, Wanted, normal
from backstay.scan.view import View

Origin = Literal["user", "system", "directory", "tool", "model", "tool_only"]
COPIED = 0.25
"""Share of a long text's parts, known from tool outputs only, from which on the text came from there."""
MAX_LEAVES = 10_000
MAX_DEPTH = 64
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|([nrtbf"/\\]))')
_SAID_BY: dict[str, Origin] = {"user": "user", "system": "system", "tool": "tool"}


class LeafOrigins(NamedTuple):
    """Where one leaf of the arguments came from; `flag` says why the origins are not evidence.

    `weak`: too short or too common to tell, `model` stands for unknown. `assumed`: not examined (too deep, too many, no
    JSON), so the worst is assumed. `copied` is the share of its parts that only tools' outputs hold.
    """

    path: str
    argument: str
    origins: tuple[Origin, ...]
    copied: float = 0.0
    flag: Literal["", "weak", "assumed"] = ""


class Provenance(NamedTuple):
    """The origins of all leaves, in the order of the arguments."""

    leaves: tuple[LeafOrigins, ...]

    def by_argument(self) -> dict[str, tuple[Origin, ...]]:
        """For `policy.Request.provenance`: every origin that a leaf of the argument has.

        `tool_only` is among them if one leaf at least came from a tool and from nobody trusted, whatever stands beside.
        """
        origins: dict[str, set[Origin]] = {}
        for leaf in self.leaves:
            origins.setdefault(leaf.argument, set()).update(leaf.origins)
        return {name: tuple(sorted(found)) for name, found in origins.items()}


def origins_of(
    messages: Sequence[Message], arguments: Mapping[str, Any], *, directories: Collection[str] = ()
) -> Provenance:
    """Where each leaf of a tool call's arguments came from.

    Args:
        messages: the conversation before the call; what the assistant said is evidence of nothing.
        arguments: of the call, as parsed JSON.
        directories: names of tools whose outputs nobody outside can write to, such as a list of contacts.
    """
    leaves = list(_leaves(arguments))
    clues = [clue(value) if examined else None for _, _, value, examined in leaves]
    wanted = Wanted(mark for one in clues if one is not None for mark in one.marks())
    said = _said(messages, wanted, frozenset(directories))
    trusted = frozenset[Mark]().union(*(marks for origin, marks in said.items() if origin != "tool"))
    return Provenance(
        tuple(
            _leaf(path, argument, one, said, trusted) for (path, argument, _, _), one in zip(leaves, clues, strict=True)
        )
    )


def _leaf(
    path: str, argument: str, one: Clue | None, said: Mapping[Origin, set[Mark]], trusted: Collection[Mark]
) -> LeafOrigins:
    if one is None:
        origins: tuple[Origin, ...] = ("tool", "tool_only") if "tool" in said else ("model",)
        return LeafOrigins(path, argument, origins, flag="assumed")
    if one == WEAK:
        return LeafOrigins(path, argument, ("model",), flag="weak")
    found = {origin for origin, marks in said.items() if all(not marks.isdisjoint(part) for part in one.whole)}
    from_tools = said.get("tool", set())
    copied = _copied(one, from_tools, trusted)
    if copied >= COPIED or any(mark in from_tools and mark not in trusted for mark in one.telling):
        found.add("tool")
    if found == {"tool"}:
        found.add("tool_only")
    return LeafOrigins(path, argument, tuple(sorted(found)) or ("model",), copied)


def _copied(one: Clue, from_tools: set[Mark], trusted: Collection[Mark]) -> float:
    """Share of the parts that are in tools' outputs and in nothing that is trusted."""
    only = sum(not from_tools.isdisjoint(part) and not any(mark in trusted for mark in part) for part in one.whole)
    return only / len(one.whole)


def _said(messages: Iterable[Message], wanted: Wanted, directories: frozenset[str]) -> dict[Origin, set[Mark]]:
    """The wanted marks by who said them; no entry for who said nothing."""
    said: dict[Origin, set[Mark]] = {}
    for message in messages:
        origin = _SAID_BY.get(message.role)
        if origin is not None:
            origin = "directory" if origin == "tool" and message.tool in directories else origin
            found = said.setdefault(origin, set())
            for text in _readings(message.text, origin):
                found |= wanted.found_in(text)
    return said


def _readings(text: str, origin: Origin) -> Iterator[str]:
    """The text; of outputs also with escapes undone, and of untrusted ones what is encoded in them."""
    view = View.of(text)
    yield normal(view)
    if origin in ("tool", "directory") and "\\" in text:
        yield normal(View.of(_unescaped(text)))
    if origin == "tool":
        for part in view.parts:
            yield normal(part.view)


def _unescaped(text: str) -> str:
    """The text with JSON's escapes undone; a character above U+FFFF is written as two of them."""
    halves = _ESCAPE.sub(_meant, text)
    return halves.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _meant(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    return found[2] if found[2] in '"/\\' else " "


class _Leaf(NamedTuple):
    path: str
    argument: str
    value: Any
    examined: bool = True


def _leaves(arguments: Mapping[str, Any]) -> Iterator[_Leaf]:
    """Leaves in order; an empty list or object is one, and a key that is no plain name is one as well."""
    stack = [(_Leaf(_step("", name), name, value), 1) for name, value in reversed([*arguments.items()])]
    count = 0
    while stack:
        leaf, depth = stack.pop()
        inner = _inner(leaf) if depth < MAX_DEPTH and count < MAX_LEAVES else []
        count += 1
        if inner:
            stack.extend((child, depth + 1) for child in reversed(inner))
        else:
            nested = isinstance(leaf.value, Mapping | list | tuple)
            examined = count <= MAX_LEAVES and not (nested and leaf.value)
            yield leaf._replace(value=None if nested else leaf.value, examined=examined)


def _inner(leaf: _Leaf) -> list[_Leaf]:
    path, argument, value, _ = leaf
    if isinstance(value, Mapping):
        named = [_Leaf(_step(path, name), argument, item) for name, item in value.items()]
        return [*named, *(_Leaf(f"{_step(path, name)}#key", argument, name) for name in value if not _is_name(name))]
    if isinstance(value, list | tuple):
        return [_Leaf(f"{path}[{i}]", argument, item) for i, item in enumerate(value)]
    return []


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name.isidentifier()


def _step(path: str, name: Any) -> str:
    if not _is_name(name):
        return f"{path}[{json.dumps(str(name))}]"
    return f"{path}.{name}" if path else str(name)
