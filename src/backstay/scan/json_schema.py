"""Whether JSON is what a schema says: tool arguments, structured answers. A subset of draft 2020-12, with bounded work.

docs/scan/json_schema.md lists the keywords. What is not supported is refused when the schema is read, never ignored.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from backstay.errors import UsageError
from backstay.records import Finding
from backstay.scan.engine import compile_re2
from backstay.scan.scanner import NO_LIMIT, NOT_SCANNED, Budget, CostClass, Point
from backstay.scan.view import View

SCANNER = "json_schema"
MAX_SCHEMAS = 5_000
"""Schemas within a schema."""

MAX_DEPTH = 64
MAX_STEPS = 100_000
"""Checks of one validation; what needs more is refused."""

MAX_PROBLEMS = 20
_REFUSED = frozenset(
    "unevaluatedProperties unevaluatedItems dependentSchemas dependencies $dynamicRef $recursiveRef $anchor "
    "$dynamicAnchor additionalItems".split()
)
_ONE = ("additionalProperties", "items", "contains", "propertyNames", "not", "if", "then", "else")
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains")
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: _is_number(value),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
}


class Problem(NamedTuple):
    """Where an instance breaks which keyword; names that the schema does not know stand as `*`."""

    path: str
    keyword: str


class _TooMuch(Exception):
    """The validation needs more steps or depth than it may take."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) or isinstance(value, float) and math.isfinite(value)


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


def read_schema(schema: Any) -> Schema:
    """A schema ready to validate with; raises UsageError that says what in it cannot be taken."""
    patterns: dict[str, Any] = {}
    pending: list[tuple[Any, str]] = [(schema, "#")]
    refs: list[tuple[str, str]] = []
    count = 0
    while pending:
        node, where = pending.pop()
        count += 1
        if count > MAX_SCHEMAS or where.count("/") > 2 * MAX_DEPTH:
            raise UsageError(f"schema {where[:200]}: more than {MAX_SCHEMAS} schemas or {MAX_DEPTH} levels")
        if isinstance(node, bool):
            continue
        if not isinstance(node, dict):
            raise UsageError(f"schema {where[:200]} is {type(node).__name__}", cure="write an object, true or false")
        _check_keywords(node, where, patterns)
        if "$ref" in node:
            refs.append((node["$ref"], where))
        pending.extend(_inner(node, where))
    for ref, where in refs:
        _check_ref(schema, ref, where)
    return Schema(schema, patterns)


def _fail(where: str, keyword: str, value: Any, cure: str) -> UsageError:
    return UsageError(f"schema {where[:200]}: {keyword} is {str(value)[:80]!r}", cure=cure)


def _check_keywords(node: dict[str, Any], where: str, patterns: dict[str, Any]) -> None:
    refused = sorted(_REFUSED & set(node))
    if refused:
        raise UsageError(f"schema {where[:200]} uses {refused}", cure="docs/scan/json_schema.md lists what is supported")
    for name in _COUNTS:
        if name in node and not (_TYPES["integer"](node[name]) and node[name] >= 0):
            raise _fail(where, name, node[name], "write a whole number from 0 on")
    for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
        if name in node and (not _is_number(node[name]) or (name == "multipleOf" and node[name] <= 0)):
            raise _fail(where, name, node[name], "write a number, above 0 for multipleOf")
    types = node.get("type", [])
    if any(not isinstance(one, str) or one not in _TYPES for one in (types if isinstance(types, list) else [types])):
        raise _fail(where, "type", types, f"use {sorted(_TYPES)}")
    names = node.get("required", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _fail(where, "required", names, "write a list of names")
    if not isinstance(node.get("enum", []), list):
        raise _fail(where, "enum", node["enum"], "write a list")
    needed = node.get("dependentRequired", {})
    if not isinstance(needed, dict) or not all(isinstance(names, list) for names in needed.values()):
        raise _fail(where, "dependentRequired", needed, "write lists of names by name")
    for pattern in [*([node["pattern"]] if "pattern" in node else []), *_object(node, "patternProperties", where)]:
        patterns[str(pattern)] = _pattern(pattern, where)


def _object(node: dict[str, Any], keyword: str, where: str) -> dict[str, Any]:
    held = node.get(keyword, {})
    if not isinstance(held, dict):
        raise _fail(where, keyword, held, "write an object")
    return held


def _pattern(pattern: Any, where: str) -> Any:
    if not isinstance(pattern, str) or len(pattern) > 1_000:
        raise _fail(where, "pattern", pattern, "write a regular expression of at most 1000 characters")
    compile_re2(b"")  # says what to install where RE2 is missing
    import re2  # noqa: PLC0415 - an extra

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise _fail(where, "pattern", pattern, f"RE2 does not take it: {error}; there is no look-around") from error


def _inner(node: dict[str, Any], where: str) -> Iterator[tuple[Any, str]]:
    for name in _ONE:
        if name in node:
            yield node[name], f"{where}/{name}"
    for name in _MANY:
        held = node.get(name, [])
        if not isinstance(held, list):
            raise _fail(where, name, held, "write a list")
        yield from ((one, f"{where}/{name}/{place}") for place, one in enumerate(held))
    for name in _NAMED:
        yield from ((one, f"{where}/{name}/{key}") for key, one in _object(node, name, where).items())


def _check_ref(root: Any, ref: Any, where: str) -> None:
    """A reference must lead to a schema here, and not only to references."""
    seen: set[str] = set()
    while isinstance(ref, str) and ref not in seen:
        seen.add(ref)
        target = _resolved(root, ref)
        if not isinstance(target, dict | bool):
            break
        if isinstance(target, bool) or "$ref" not in target:
            return
        ref = target["$ref"]
    raise _fail(where, "$ref", ref, "refer to a schema of the same document, as #/$defs/name, and not in a circle")


def _resolved(root: Any, ref: str) -> Any:
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
            yield from self.all_problems(_resolved(self.schema.root, node["$ref"]), value, path, depth + 1)
        yield from (Problem(path, keyword) for keyword in self._own(node, value))
        yield from self._combined(node, value, path, depth)
        if isinstance(value, dict):
            yield from self._object(node, value, path, depth)
        elif isinstance(value, list):
            yield from self._array(node, value, path, depth)

    def _own(self, node: dict[str, Any], value: Any) -> Iterator[str]:
        """Keywords that look at the value without its parts."""
        types = node.get("type")
        if types is not None and not any(_TYPES[one](value) for one in ([types] if isinstance(types, str) else types)):
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
        elif _is_number(value):
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
        known = node.get("properties", {})
        for name, held in value.items():
            self.spend(1 + len(node.get("patternProperties", ())) * (1 + len(name) // 100))
            place = f"{path}.{name[:60]}" if name in known else f"{path}.*"
            if "propertyNames" in node and not self.fits(node["propertyNames"], name, place, depth + 1):
                yield Problem(place, "propertyNames")
            matched = [one for pattern, one in node.get("patternProperties", {}).items()
                       if self._matches(pattern, name)]  # fmt: skip
            if name in known:
                matched.append(known[name])
            elif not matched and "additionalProperties" in node:
                if node["additionalProperties"] is False:
                    yield Problem(place, "additionalProperties")
                    continue
                matched.append(node["additionalProperties"])
            for one in matched:
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


def strict_json(text: str) -> Any:
    """The value of a JSON text; raises ValueError for NaN, infinities, and a name that stands twice in an object."""

    def pairs(held: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(held)
        if len(made) < len(held):
            raise ValueError("a name stands twice in an object")
        return made

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise ValueError("a number is too great")
        return value

    return json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_float=number)


@dataclass(frozen=True)
class JsonSchemaScanner:
    """Finds where a text is not the JSON that a schema asks for: `not_json`, `schema_violation`."""

    schema: Schema
    deadline_ms: float = 200.0

    name: str = SCANNER
    cost_class: CostClass = "micro"
    points: frozenset[Point] = frozenset({"model.tool_call", "response.final"})
    max_match_length: int | None = None

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:
        """At most 20 findings, each over the whole text."""
        span = (0, len(view.original))
        try:
            value = strict_json(view.original)
        except (ValueError, RecursionError):
            return (Finding(scanner=self.name, kind="not_json", severity="high", span=span),)
        problems = self.schema.problems(value)
        if problems and problems[0].keyword == "steps":
            return (Finding(scanner=self.name, kind=NOT_SCANNED, severity="high", span=span, evidence="too many checks"),)
        return tuple(
            Finding(scanner=self.name, kind="schema_violation", severity="high", span=span, evidence=f"{path}: {keyword}")
            for path, keyword in problems
        )
