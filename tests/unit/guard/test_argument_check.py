"""Arguments are held against the schema of their tool, and a schema that cannot be read lets nothing through."""

from backstay.guard.argument_check import SchemaCheck


def test_arguments_fit_or_not() -> None:
    check = SchemaCheck(most=2)
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    assert check(schema, {"n": 3}) == ""
    for args in ({}, {"n": "3"}, {"n": 3, "also": 1}):
        assert "breaks" in check(schema, args), args
    assert check({"type": "object"}, {"anything": [1]}) == ""
    assert "cannot be checked" in check({"type": "object", "properties": 7}, {})
    assert check(schema, {"n": 3}) == ""
