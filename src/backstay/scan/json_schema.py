"""Whether JSON is what a schema says: tool arguments, structured answers. A subset of draft 2020-12, with bounded work.

docs/scan/json_schema.md lists the keywords. What is not supported is refused when the schema is read, never ignored.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backstay.errors import UsageError
from backstay.records import Finding
from backstay.scan.engine import compile_re2
from backstay.scan.json_validation import MAX_DEPTH, TYPES, Schema, is_number, resolved
from backstay.scan.scanner import NO_LIMIT, NOT_SCANNED, Budget, CostClass, Point
from backstay.scan.view import View

SCANNER = "json_schema"
MAX_SCHEMAS = 5_000
"""Schemas within a schema."""

_REFUSED = frozenset(
    (
        "unevaluatedProperties", "unevaluatedItems", "dependentSchemas", "dependencies", "additionalItems",
        "$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor",
    )
)  # fmt: skip
_ONE = ("additionalProperties", "items", "contains", "propertyNames", "not", "if", "then", "else")
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions")
_COUNTS = (
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minContains",
    "maxContains",
)


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
        raise UsageError(
            f"schema {where[:200]} uses {refused}", cure="docs/scan/json_schema.md lists what is supported"
        )
    for name in _COUNTS:
        if name in node and not (TYPES["integer"](node[name]) and node[name] >= 0):
            raise _fail(where, name, node[name], "write a whole number from 0 on")
    for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
        if name in node and (not is_number(node[name]) or (name == "multipleOf" and node[name] <= 0)):
            raise _fail(where, name, node[name], "write a number, above 0 for multipleOf")
    _check_lists(node, where)
    for pattern in [*([node["pattern"]] if "pattern" in node else []), *_object(node, "patternProperties", where)]:
        patterns[str(pattern)] = _pattern(pattern, where)


def _check_lists(node: dict[str, Any], where: str) -> None:
    types = node.get("type", [])
    if any(not isinstance(one, str) or one not in TYPES for one in (types if isinstance(types, list) else [types])):
        raise _fail(where, "type", types, f"use {sorted(TYPES)}")
    names = node.get("required", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _fail(where, "required", names, "write a list of names")
    if not isinstance(node.get("enum", []), list):
        raise _fail(where, "enum", node["enum"], "write a list")
    needed = _object(node, "dependentRequired", where)
    if not all(isinstance(names, list) for names in needed.values()):
        raise _fail(where, "dependentRequired", needed, "write lists of names by name")


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
        target = resolved(root, ref)
        if not isinstance(target, dict | bool):
            break
        if isinstance(target, bool) or "$ref" not in target:
            return
        ref = target["$ref"]
    raise _fail(where, "$ref", ref, "refer to a schema of the same document, as #/$defs/name, and not in a circle")


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

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:  # noqa: ARG002 - counted in steps
        """At most 20 findings, each over the whole text."""
        span = (0, len(view.original))
        try:
            value = strict_json(view.original)
        except (ValueError, RecursionError):
            return (Finding(scanner=self.name, kind="not_json", severity="high", span=span),)
        problems = self.schema.problems(value)
        if problems and problems[0].keyword == "steps":
            return (
                Finding(scanner=self.name, kind=NOT_SCANNED, severity="high", span=span, evidence="too many checks"),
            )
        return tuple(
            Finding(
                scanner=self.name, kind="schema_violation", severity="high", span=span, evidence=f"{path}: {keyword}"
            )
            for path, keyword in problems
        )
