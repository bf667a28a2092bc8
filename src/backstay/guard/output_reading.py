"""A tool's output as plain data: lists, mappings and texts, without any type, tag, alias or object.

What is no such data, too long, too deep, or holds a key twice in one mapping is refused: two readers might see two
things in it.
"""

import json
from typing import Any, Literal

import yaml

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 24
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class UnreadableOutput(ValueError):
    """An output is no plain data."""


def read_output(text: str, written: Literal["json", "yaml"]) -> Any:
    """Read an output; numbers and words such as true stay as they are written. Raises UnreadableOutput."""
    if len(text) > MAX_CHARACTERS:
        raise UnreadableOutput(f"{len(text)} characters are more than {MAX_CHARACTERS}")
    try:
        data = _json(text) if written == "json" else _yaml(text)
        _check_depth(data)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UnreadableOutput(f"no plain {written} ({type(error).__name__})") from None
    return data


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once, parse_int=str, parse_float=str, parse_constant=str)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableOutput("a key stands twice")
    return found


def _check_depth(data: Any) -> None:
    level = [data]
    for _ in range(MAX_DEPTH + 1):
        level = [i for v in level if isinstance(v, dict | list) for i in (v.values() if isinstance(v, dict) else v)]
        if not level:
            return
    raise UnreadableOutput(f"nested deeper than {MAX_DEPTH}")


def _yaml(text: str) -> Any:
    """Built from events, so that nothing of YAML but lists, mappings and texts comes into it."""
    open_: list[list[Any]] = [[]]
    kinds: list[type] = []
    for event in yaml.parse(text, Loader=_YAML):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or len(open_) > MAX_DEPTH + 1:
            raise UnreadableOutput("an alias, an anchor, or nested too deep")
        if isinstance(event, yaml.ScalarEvent):
            open_[-1].append(event.value)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append([])
            kinds.append(dict if isinstance(event, yaml.MappingStartEvent) else list)
        elif isinstance(event, yaml.CollectionEndEvent):
            inside = open_.pop()
            open_[-1].append(_mapping(inside) if kinds.pop() is dict else inside)
    if len(open_[0]) != 1:
        raise UnreadableOutput("not one document")
    return open_[0][0]


def _mapping(inside: list[Any]) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in inside[::2]):
        raise UnreadableOutput("a key is no text")
    return _once(list(zip(inside[::2], inside[1::2], strict=True)))
