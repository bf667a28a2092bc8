import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.errors import UsageError
from backstay.scan import NOT_SCANNED, View
from backstay.scan.json_schema import JsonSchemaScanner, read_schema, strict_json

TOOL = {
    "type": "object",
    "properties": {
        "to": {"type": "string", "pattern": "^[a-z]+@[a-z]+[.]org$", "maxLength": 40},
        "amount": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True, "maxItems": 2},
        "next": {"$ref": "#/$defs/node"},
    },
    "required": ["to"],
    "additionalProperties": False,
    "$defs": {"node": {"type": ["object", "null"], "properties": {"next": {"$ref": "#/$defs/node"}}}},
}


def broken(schema: Any, value: Any) -> set[str]:
    return {f"{problem.path} {problem.keyword}" for problem in read_schema(schema).problems(value)}


def test_a_tool_call_that_fits() -> None:
    assert broken(TOOL, {"to": "me@example.org", "amount": 0.07, "tags": ["a"], "next": {"next": None}}) == set()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({}, "$.to required"),
        ({"to": 1}, "$.to type"),
        ({"to": "me@evil.com"}, "$.to pattern"),
        ({"to": "a@b.org", "amount": 0}, "$.amount exclusiveMinimum"),
        ({"to": "a@b.org", "amount": 0.015}, "$.amount multipleOf"),
        ({"to": "a@b.org", "amount": True}, "$.amount type"),
        ({"to": "a@b.org", "tags": ["a", "c"]}, "$.tags[1] enum"),
        ({"to": "a@b.org", "tags": ["a", "a"]}, "$.tags uniqueItems"),
        ({"to": "a@b.org", "tags": ["a", "b", "a"]}, "$.tags maxItems"),
        ({"to": "a@b.org", "next": {"next": {"next": 3}}}, "$.next.next.next type"),
        ({"to": "a@b.org", "<b>extra</b>": 1}, "$.* additionalProperties"),
        ([], "$ type"),
    ],
)
def test_a_tool_call_that_does_not(value: Any, problem: str) -> None:
    assert problem in broken(TOOL, value)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "#"}, "circle"),
        ({"$ref": "https://example.org/schema"}, "same document"),
        ({"$ref": "#/$defs/none"}, "same document"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "circle"),
        ({"pattern": "(?=x)"}, "look-around"),
        ({"pattern": "a" * 2000}, "1000"),
        ({"type": "text"}, "integer"),
        ({"unevaluatedProperties": False}, "unevaluatedProperties"),
        ({"properties": []}, "object"),
        ({"allOf": {}}, "list"),
        ({"minLength": -1}, "whole number"),
        ({"multipleOf": 0}, "above 0"),
        ("string", "true or false"),
    ],
)
def test_a_schema_that_cannot_be_taken_is_refused(schema: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        read_schema(schema)


def test_a_schema_that_is_too_large_or_deep_is_refused() -> None:
    deep: Any = True
    for _ in range(300):
        deep = {"not": deep}
    for schema in (deep, {"allOf": [True] * 6000}):
        with pytest.raises(UsageError, match="more than"):
            read_schema(schema)


HOSTILE: list[tuple[Any, Any]] = [
    ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, 1),
    ({"allOf": [{"$ref": "#/$defs/a"}] * 60, "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}] * 60},
      "b": {"allOf": [{"$ref": "#/$defs/c"}] * 60}, "c": {"type": "string"}}}, "x"),
    ({"items": {"$ref": "#"}, "contains": {"items": {"$ref": "#"}}}, [[[[[[1] * 12] * 12] * 12] * 12] * 12] * 12),
    ({"uniqueItems": True}, [[i] * 40 for i in range(5000)]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value"), HOSTILE)
def test_work_without_end_is_refused(schema: Any, value: Any) -> None:
    begin = time.thread_time()
    assert broken(schema, value) == {"$ steps"}
    assert time.thread_time() - begin < 3.0  # several times what it takes, so that a busy machine does not fail it


def test_patterns_are_linear() -> None:
    begin = time.thread_time()
    assert broken({"pattern": "^(a|a|aa)+$"}, "a" * 50_000 + "b") == {"$ pattern"}
    assert time.thread_time() - begin < 2.0


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "[NaN]", "[1e999]", "[1", "[" * 100_000, "{'a': 1}", ""])
def test_what_is_no_strict_json(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        strict_json(text)
    (finding,) = JsonSchemaScanner(read_schema({})).scan(View.of(text))
    assert finding.kind == "not_json" and finding.severity == "high"


def test_findings_say_where_without_what() -> None:
    found = JsonSchemaScanner(read_schema(TOOL)).scan(View.of('{"to": "zebra", "zebra": 1}'))
    assert [(finding.kind, finding.evidence) for finding in found] == [
        ("schema_violation", "$.to: pattern"),
        ("schema_violation", "$.*: additionalProperties"),
    ]
    endless = JsonSchemaScanner(read_schema({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]})).scan(View.of("1"))
    assert [finding.kind for finding in endless] == [NOT_SCANNED]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.0, "", "a", "ab", "b1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=6,
)
numbers = st.sampled_from([0, 1, 2, 0.5, 1.5])
leaves = st.one_of(
    st.booleans(),
    st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"]).map(lambda t: {"type": t}),
    st.lists(values, max_size=3).map(lambda v: {"enum": v}),
    values.map(lambda v: {"const": v}),
    st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]).flatmap(
        lambda k: numbers.map(lambda n: {k: n})
    ),
    st.sampled_from([0.5, 1, 2]).map(lambda n: {"multipleOf": n}),
    st.sampled_from(["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"]).flatmap(
        lambda k: st.integers(0, 2).map(lambda n: {k: n})
    ),
    st.sampled_from(["^a", "b$", "[0-9]"]).map(lambda p: {"pattern": p}),
    st.just({"uniqueItems": True}),
    st.sampled_from(["a", "b"]).map(lambda n: {"required": [n]}),
    st.just({"dependentRequired": {"a": ["b"]}}),
)


def combined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    many = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.sampled_from(["allOf", "anyOf", "oneOf", "prefixItems"]).flatmap(lambda k: many.map(lambda v: {k: v})),
        st.sampled_from(["not", "items", "contains", "additionalProperties", "propertyNames"]).flatmap(
            lambda k: inner.map(lambda v: {k: v})
        ),
        st.tuples(inner, inner, inner).map(lambda t: {"if": t[0], "then": t[1], "else": t[2]}),
        st.tuples(inner, inner).map(lambda t: {"prefixItems": [t[0]], "items": t[1]}),
        st.tuples(inner, inner, inner).map(
            lambda t: {"properties": {"a": t[0]}, "patternProperties": {"^b": t[1]}, "additionalProperties": t[2]}
        ),
        st.tuples(inner, st.integers(0, 2)).map(lambda t: {"contains": t[0], "minContains": t[1], "maxContains": 2}),
    )


plain = st.recursive(leaves, combined, max_leaves=5)
schemas = st.one_of(
    plain, st.tuples(plain, leaves).map(lambda t: {"$defs": {"x": t[0]}, "$ref": "#/$defs/x", "not": t[1]})
)


@settings(max_examples=400, deadline=None)
@given(schema=schemas, value=values)
def test_it_agrees_with_the_reference_validator(schema: Any, value: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is the oracle")
    expected = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (read_schema(schema).problems(value) == ()) == expected
