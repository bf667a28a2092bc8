"""The leaves of a tool call's arguments, in order, in bounded depth and number."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

MAX_LEAVES = 10_000
MAX_DEPTH = 64


class Leaf(NamedTuple):
    """A leaf: its path as it is shown, its argument, its value, and the names on the way to it without list places.

    `examined` is False for what lies too deep or comes too late; its value is then not there.
    """

    path: str
    argument: str
    value: Any
    names: tuple[str, ...]
    examined: bool = True


def leaves(arguments: Mapping[str, Any]) -> Iterator[Leaf]:
    """Leaves in order; an empty list or object is one, and a key that is no plain name is one as well."""
    stack = [(Leaf(_step("", name), name, value, (str(name),)), 1) for name, value in reversed([*arguments.items()])]
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


def _inner(leaf: Leaf) -> list[Leaf]:
    path, argument, value, names, _ = leaf
    if isinstance(value, Mapping):
        named = [Leaf(_step(path, name), argument, item, (*names, str(name))) for name, item in value.items()]
        keys = [Leaf(f"{_step(path, key)}#key", argument, key, names) for key in value if not _is_name(key)]
        return [*named, *keys]
    if isinstance(value, list | tuple):
        return [Leaf(f"{path}[{i}]", argument, item, names) for i, item in enumerate(value)]
    return []


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name.isidentifier()


def _step(path: str, name: Any) -> str:
    if not _is_name(name):
        return f"{path}[{json.dumps(str(name))}]"
    return f"{path}.{name}" if path else str(name)
