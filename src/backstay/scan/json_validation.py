"""Whether a value of JSON fits a schema that `json_schema` has read; counted in steps, so that it ends."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

MAX_DEPTH = 64
MAX_STEPS = 100_000
"""Checks of one validation; what needs more is refused."""

MAX_PROBLEMS = 20


def is_number(value: Any) -> bool:
    """A number of JSON: no truth value, no infinity."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": is_number,
    "integer": lambda value: is_number(value) and (isinstance(value, int) or value.is_integer()),
}


class Problem(NamedTuple):
    """Where an instance breaks which keyword; names that the schema does not know stand as `*`."""

    path: str
    keyword: str


class _TooMuch(Exception):
    """The validation needs more steps or depth than it may take."""


def _key(value: Any) -> Any:
    """Equal for values that are equal in JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, dict):
        return ("object", frozenset((name, _key(held)) for name, held in value.items()))
    return ("array", tuple(map(_key, value))) if isinstance(value, list) else value


@dataclass(frozen=True)
class Schema:
    """A schema that was read and found sound."""

    root: Any
    patterns: Mapping[str, Any]

    def problems(self, instance: Any, *, max_steps: int = MAX_STEPS) -> tuple[Problem, ...]:
        """At most 20 problems, none where the instance fits; one with keyword `steps` where that takes too long."""
        checking = _Checking(self, max_steps)
        try:
            found = checking.all_problems(self.root, instance, "$", 0)
            return tuple(problem for problem, _ in zip(found, range(MAX_PROBLEMS), strict=False))
        except (_TooMuch, RecursionError):
            return (Problem("$", "steps"),)


def resolved(root: Any, ref: str) -> Any:
    """What a reference of the same document leads to, None where it leads nowhere."""
    if ref != "#" and not ref.startswith("#/"):
        return None
    node = root
    for part in ref[2:].split("/") if len(ref) > 1 else []:
        part = part.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901 - the escapes of JSON pointers
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return node


class _Checking:
    """One validation, which counts its steps."""

    def __init__(self, schema: Schema, max_steps: int) -> None:
        self.schema, self.left = schema, max_steps

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise _TooMuch

    def fits(self, node: Any, value: Any, path: str, depth: int) -> bool:
        return next(self.all_problems(node, value, path, depth), None) is None

    def all_problems(self, node: Any, value: Any, path: str, depth: int) -> Iterator[Problem]:
        """Problems of a value with a schema."""
        self.spend(1)
        if depth > 4 * MAX_DEPTH:
            raise _TooMuch
        if isinstance(node, bool):
            yield from () if node else (Problem(path, "false"),)
            return
        self.spend(len(node))
        if "$ref" in node:
            yield from self.all_problems(resolved(self.schema.root, node["$ref"]), value, path, depth + 1)
        yield from (Problem(path, keyword) for keyword in self._own(node, value))
        yield from self._combined(node, value, path, depth)
        if isinstance(value, dict):
            yield from self._object(node, value, path, depth)
        elif isinstance(value, list):
            yield from self._array(node, value, path, depth)

    def _own(self, node: dict[str, Any], value: Any) -> Iterator[str]:
        """Keywords that look at the value without its parts."""
        types = node.get("type")
        if types is not None and not any(TYPES[one](value) for one in ([types] if isinstance(types, str) else types)):
            yield "type"
        if "enum" in node or "const" in node:
            allowed = [*node.get("enum", ())] if "enum" in node else []
            self.spend(_size(value) + sum(map(_size, allowed)))
            if "enum" in node and _key(value) not in [_key(one) for one in allowed]:
                yield "enum"
            if "const" in node and _key(value) != _key(node["const"]):
                yield "const"
        if isinstance(value, str):
            self.spend(1 + len(value) // 100)
            yield from _outside(node, len(value), "minLength", "maxLength")
            if "pattern" in node and not self._matches(node["pattern"], value):
                yield "pattern"
        elif is_number(value):
            yield from _number(node, value)

    def _matches(self, pattern: str, value: str) -> bool:
        """Whether a pattern is in a text; in one with half of a surrogate pair it is not."""
        try:
            return self.schema.patterns[pattern].search(value) is not None
        except UnicodeEncodeError:
            return False

    def _combined(self, node: dict[str, Any], value: Any, path: str, depth: int) -> Iterator[Problem]:
        for one in node.get("allOf", ()):
            yield from self.all_problems(one, value, path, depth + 1)
        if "anyOf" in node and not any(self.fits(one, value, path, depth + 1) for one in node["anyOf"]):
            yield Problem(path, "anyOf")
        if "oneOf" in node and sum(self.fits(one, value, path, depth + 1) for one in node["oneOf"]) != 1:
            yield Problem(path, "oneOf")
        if "not" in node and self.fits(node["not"], value, path, depth + 1):
            yield Problem(path, "not")
        if "if" in node:
            branch = "then" if self.fits(node["if"], value, path, depth + 1) else "else"
            if branch in node:
                yield from self.all_problems(node[branch], value, path, depth + 1)

    def _object(self, node: dict[str, Any], value: dict[str, Any], path: str, depth: int) -> Iterator[Problem]:
        yield from (Problem(path, keyword) for keyword in _outside(node, len(value), "minProperties", "maxProperties"))
        for name in node.get("required", ()):
            if name not in value:
                yield Problem(f"{path}.{name[:60]}", "required")
        for name, needed in node.get("dependentRequired", {}).items():
            if name in value and not set(needed) <= set(value):
                yield Problem(path, "dependentRequired")
        for name, held in value.items():
            yield from self._member(node, name, held, path, depth)

    def _member(self, node: dict[str, Any], name: str, held: Any, path: str, depth: int) -> Iterator[Problem]:
        known, patterns = node.get("properties", {}), node.get("patternProperties", {})
        self.spend(1 + len(patterns) * (1 + len(name) // 100))
        place = f"{path}.{name[:60]}" if name in known else f"{path}.*"
        if "propertyNames" in node and not self.fits(node["propertyNames"], name, place, depth + 1):
            yield Problem(place, "propertyNames")
        schemas = [one for pattern, one in patterns.items() if self._matches(pattern, name)]
        if name in known:
            schemas.append(known[name])
        elif not schemas and node.get("additionalProperties") is False:
            yield Problem(place, "additionalProperties")
        elif not schemas and "additionalProperties" in node:
            schemas.append(node["additionalProperties"])
        for one in schemas:
            yield from self.all_problems(one, held, place, depth + 1)

    def _array(self, node: dict[str, Any], value: list[Any], path: str, depth: int) -> Iterator[Problem]:
        yield from (Problem(path, keyword) for keyword in _outside(node, len(value), "minItems", "maxItems"))
        first = node.get("prefixItems", [])
        for place, held in enumerate(value):
            one = first[place] if place < len(first) else node.get("items", True)
            yield from self.all_problems(one, held, f"{path}[{place}]", depth + 1)
        if node.get("uniqueItems") is True:
            self.spend(_size(value))
            if len({_key(held) for held in value}) < len(value):
                yield Problem(path, "uniqueItems")
        if "contains" in node:
            count = sum(self.fits(node["contains"], held, path, depth + 1) for held in value)
            if not node.get("minContains", 1) <= count <= node.get("maxContains", count):
                yield Problem(path, "contains")


def _outside(node: dict[str, Any], length: int, low: str, high: str) -> Iterator[str]:
    if length < node.get(low, 0):
        yield low
    if length > node.get(high, length):
        yield high


def _number(node: dict[str, Any], value: float) -> Iterator[str]:
    if value < node.get("minimum", value):
        yield "minimum"
    if value > node.get("maximum", value):
        yield "maximum"
    if "exclusiveMinimum" in node and value <= node["exclusiveMinimum"]:
        yield "exclusiveMinimum"
    if "exclusiveMaximum" in node and value >= node["exclusiveMaximum"]:
        yield "exclusiveMaximum"
    if "multipleOf" in node and Fraction(str(value)) % Fraction(str(node["multipleOf"])) != 0:
        yield "multipleOf"


def _size(value: Any) -> int:
    """Number of values in a value, itself included."""
    pending, count = [value], 0
    while pending:
        one = pending.pop()
        count += 1
        pending.extend(one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
    return count
