"""YAML as plain data with the line of every key; whatever a settings file has no business with is refused."""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from backstay.errors import RecipeError

MAX_BYTES = 1 << 20
MAX_DEPTH = 16
KeyPath = tuple[str, ...]


class _CoreLoader(yaml.SafeLoader):
    """Scalars of the YAML 1.2 core schema: `1e-3` is a number, `off` and `2026-11-21` are text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  set this way by PyYAML


_CoreLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_CoreLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])
_CoreLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_CoreLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+.0123456789"),
)


def _construct_float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


_CoreLoader.add_constructor("tag:yaml.org,2002:float", _construct_float)


@dataclass(frozen=True)
class YamlText:
    """Parsed data and, for each key path, the line (from 1) where it stands."""

    data: Any
    lines: dict[KeyPath, int]


def parse_yaml(text: str, source: str) -> YamlText:
    """Parse YAML as data only.

    Raises RecipeError for syntax, duplicate keys, keys that are no text, aliases, custom tags, and text that is
    larger than 1 MiB or nested deeper than 16 levels.
    """
    size = len(text.encode())
    if size > MAX_BYTES:
        raise RecipeError(f"{source} is {size} bytes long; at most {MAX_BYTES} are read")
    try:
        _refuse_exotic(text, source)
        loader = _CoreLoader(text)
        node = loader.get_single_node()
        if node is None:
            return YamlText({}, {})
        lines: dict[KeyPath, int] = {}
        _walk(node, (), lines, source)
        return YamlText(loader.construct_document(node), lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"{source} line {line} is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{source} is not YAML: {error}") from None
    except ValueError as error:
        raise RecipeError(f"{source} holds a value that cannot be read: {error}") from None


def _refuse_exotic(text: str, source: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_CoreLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        place = f"{source} line {event.start_mark.line + 1 if event.start_mark else 1}"
        if isinstance(event, yaml.AliasEvent):
            raise RecipeError(f"{place}: alias *{event.anchor}; write the value out, aliases are refused")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise RecipeError(f"{place}: tag {tag}; tags are refused, write plain values")
        if depth > MAX_DEPTH:
            raise RecipeError(f"{place}: nested deeper than {MAX_DEPTH} levels")


def _walk(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], source: str) -> None:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*path, str(index))] = item.start_mark.line + 1
            _walk(item, (*path, str(index)), lines, source)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = _text_key(key_node, source), key_node.start_mark.line + 1
            if key in seen:
                dotted = ".".join((*path, key))
                raise RecipeError(f"{dotted} stands twice in {source}: lines {seen[key]} and {line}; keep one")
            seen[key] = lines[(*path, key)] = line
            _walk(value_node, (*path, key), lines, source)


def _text_key(node: yaml.Node, source: str) -> str:
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
        return str(node.value)
    raise RecipeError(f"{source} line {node.start_mark.line + 1}: a key must be text, seen {node.value!r}")
