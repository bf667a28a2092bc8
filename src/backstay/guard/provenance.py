"""Where the arguments of a tool call came from, told without a model: who said the value, in whatever spelling.

The trusted (user, system, a directory) must have said the whole of a value; of a tool's output a part is enough. So an
error makes a policy ask once too often, not once too seldom.
"""

import re
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from backstay.guard.clues import WEAK, Clue, clue, key_of
from backstay.guard.conversation import Message
from backstay.guard.leaves import Leaf, leaves
from backstay.guard.marks import Mark, Wanted, normal
from backstay.scan.view import View

Origin = Literal["user", "system", "directory", "record", "named", "tool", "model", "tool_only"]
Vouched = Mapping[Origin, Collection[Hashable]]
COPIED = 0.25
"""Share of a long text's parts, known from tool outputs only, from which on the text came from there."""
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|([nrtbf"/\\]))')
_SAID_BY: dict[str, Origin] = {"user": "user", "system": "system", "tool": "tool"}


class LeafOrigins(NamedTuple):
    """Where one leaf of the arguments came from; `flag` says why the origins are not evidence.

    `weak`: too short or too common to tell, `model` stands for unknown. `assumed`: not examined (too deep, too many, no
    JSON), so the worst is assumed. `address`: holds an address or an account that only tools' outputs hold. `copied` is
    the share of its parts that only they hold.
    """

    path: str
    argument: str
    origins: tuple[Origin, ...]
    copied: float = 0.0
    flag: Literal["", "weak", "assumed", "address"] = ""


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
    messages: Sequence[Message],
    arguments: Mapping[str, Any],
    *,
    directories: Collection[str] = (),
    vouched: Vouched | None = None,
) -> Provenance:
    """Where each leaf of a tool call's arguments came from.

    Args:
        messages: the conversation before the call; what the assistant said is evidence of nothing.
        arguments: of the call, as parsed JSON.
        directories: names of tools whose outputs nobody outside can write to, such as a list of contacts.
        vouched: single values that somebody stands for, by origin, as `clues.key_of` gives them (`OutputFields`).
    """
    examined = list(leaves(arguments))
    clues = [clue(leaf.value) if leaf.examined else None for leaf in examined]
    wanted = Wanted(mark for one in clues if one is not None for mark in one.marks())
    said = _said(messages, wanted, frozenset(directories))
    trusted = frozenset[Mark]().union(*(marks for origin, marks in said.items() if origin != "tool"))
    return Provenance(
        tuple(
            _leaf(LeafOrigins(leaf.path, leaf.argument, _stand_for(leaf, vouched or {})), one, said, trusted)
            for leaf, one in zip(examined, clues, strict=True)
        )
    )


def _leaf(
    leaf: LeafOrigins, one: Clue | None, said: Mapping[Origin, set[Mark]], trusted: Collection[Mark]
) -> LeafOrigins:
    """The leaf with all its origins; it comes with those of whoever stands for its value as a whole."""
    if one is None:
        origins: tuple[Origin, ...] = ("tool", "tool_only") if "tool" in said else ("model",)
        return leaf._replace(origins=origins, flag="assumed")
    if one == WEAK:
        return leaf if leaf.origins else leaf._replace(origins=("model",), flag="weak")
    found = {origin for origin, marks in said.items() if all(not marks.isdisjoint(part) for part in one.whole)}
    from_tools = said.get("tool", set())
    copied = _copied(one, from_tools, trusted)
    foreign = any(mark in from_tools and mark not in trusted for mark in one.telling)
    if copied >= COPIED or foreign:
        found.add("tool")
    found.update(leaf.origins)
    if found - {"named"} == {"tool"}:
        found.add("tool_only")
    flag: Literal["", "address"] = "address" if foreign and found.isdisjoint(leaf.origins) else ""
    return leaf._replace(origins=tuple(sorted(found)) or ("model",), copied=copied, flag=flag)


def _stand_for(leaf: Leaf, vouched: Vouched) -> tuple[Origin, ...]:
    value = leaf.value
    if not vouched or not leaf.examined or isinstance(value, bool) or not isinstance(value, int | float | str):
        return ()
    key = key_of(value)
    return tuple(origin for origin, keys in vouched.items() if key in keys)


def _copied(one: Clue, from_tools: set[Mark], trusted: Collection[Mark]) -> float:
    """Share of the parts that are in tools' outputs and in nothing that is trusted."""
    only = sum(not from_tools.isdisjoint(part) and not any(mark in trusted for mark in part) for part in one.whole)
    return only / len(one.whole)


def _said(messages: Iterable[Message], wanted: Wanted, directories: Collection[str]) -> dict[Origin, set[Mark]]:
    """The wanted marks by who said them; no entry for who said nothing."""
    said: dict[Origin, set[Mark]] = {}
    for message in messages:
        origin = _SAID_BY.get(message.role)
        if origin is not None:
            origin = "directory" if origin == "tool" and message.tool in directories else origin
            found = {mark for text in _readings(message.text, origin) for mark in wanted.found_in(text)}
            said.setdefault(origin, set()).update(found - _echoed(message, wanted, origin))
    return said


def _echoed(message: Message, wanted: Wanted, origin: Origin) -> set[Mark]:
    """What a directory was asked for is no evidence: it may only have repeated it."""
    if origin != "directory" or not message.arguments:
        return set()
    return {mark for text in _readings(message.arguments, "directory") for mark in wanted.found_in(text)}


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
