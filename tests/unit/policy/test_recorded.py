import json
from typing import Any

import pytest
from policy_texts import bundle, call, rule
from recorded_traffic import payload

from backstay.policy import Request
from backstay.policy.recorded import (
    Content,
    RecordedDecision,
    holds_whole_numbers,
    read_row,
    readable,
    request_of_row,
    whole_doubles,
)
from backstay.records import canonical_json

POLICY = bundle([rule("small", "permit", "args.amount < 5"), rule("odd", "hold", "args.nothing == 1", mode="shadow")])


def test_a_row_says_what_was_decided_and_how() -> None:
    row = json.loads(payload(POLICY, call(args={"amount": 1, "to": "x"}), contents="digests", session="s9"))
    assert (row["effect"], row["rules"], row["policy"], row["session"]) == ("allow", ["small"], POLICY.hash, "s9")
    assert row["args_shape"] == {"amount": "integer", "to": "string"}
    assert row["provenance"] == {"amount": ["user"], "to": ["user"]}
    assert row["shadow"][0][:3] == ["odd", "hold", False]
    assert row["shadow_effect"] == "hold"
    assert "content" not in row
    assert row["readable"] == "yes"


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"a": 10.0, "b": 10, "c": [1.0, [2, 2.0], {"d": 1e20, "e": 1e21, "0": 0.0}], "f": True, "g": None, "h": "1.0"},
    ],
)
def test_contents_come_back_with_the_types_they_had(args: dict[str, Any]) -> None:
    attributes = {"level": 2.0, "list": [3, 3.0]}
    request = call(
        args=args, text="hello \u2028 \U0001f600", principal_attributes=attributes, resource_attributes={"w": 1.0}
    )
    row = RecordedDecision.model_validate_json(payload(POLICY, request))
    again = request_of_row(row, {})
    assert repr(again.args) == repr(json.loads(json.dumps(args, sort_keys=True)))
    assert repr(again.principal_attributes) == repr(attributes)
    assert repr(again.resource_attributes) == repr({"w": 1.0})
    assert again.text == request.text


@pytest.mark.parametrize("args", [{"a": 2**53 + 1}, {"a": "\ud800"}, {"a": float("nan")}])
def test_what_json_cannot_hold_is_known_as_such(args: dict[str, Any]) -> None:
    row = read_row(payload(POLICY, call(args=args)))
    assert row is not None and row.escaped


def test_a_negative_zero_is_not_taken_for_the_zero_that_json_makes_of_it() -> None:
    assert whole_doubles({"a": [-0.0]}, {}) is None
    row = read_row(payload(POLICY, call(args={"a": [-0.0]})))
    assert row is not None and row.content is not None and not row.content.exact


def test_masked_arguments_are_not_taken_for_what_was_decided() -> None:
    masks = bundle([rule("small", "permit", "args.amount < 5", obligations=[{"mask": {"args": ["to"]}}])])
    for args, exact in (({"amount": 1, "to": "x"}, False), ({"amount": 1}, True)):
        row = read_row(payload(masks, call(args=args)))
        assert row is not None and row.content is not None and row.content.exact is exact


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (call(text="fine", args={"a": [1.5, {"b": "nano"}]}), "yes"),
        (call(text="cut\0here"), "no"),
        (call(args={"a": float("nan")}), "no"),
        (call(args={"a": 2**63}), "no"),
        (call(args={"a": {"b": object()}}), "no"),
        (call(roles="lead"), "no"),
        (call(args={"a": [" NaN "]}), "nan"),
        (call(principal="nan"), "nan"),
    ],
)
def test_a_row_says_whether_conditions_could_read_the_request(request_: Request, said: str) -> None:
    assert readable(request_) == said
    plain, double = bundle([rule("r", when="size(args) >= 0")]), bundle([rule("r", when="double(1) < 0.0")])
    assert bool(plain.decide(request_).errors) == (said == "no")
    assert bool(double.decide(request_).errors) == (said in ("no", "nan"))


def test_depth_counts_as_it_does_for_conditions() -> None:
    for levels in range(28, 36):
        value: Any = 1
        for _ in range(levels):
            value = [value]
        asked = call(args={"a": value})
        erred = bool(bundle([rule("r", when="size(args) >= 0")]).decide(asked).errors)
        assert readable(asked) == ("no" if erred else "yes")


def test_an_older_row_that_does_not_say_is_read_by_its_errors() -> None:
    def fitness(*messages: str) -> str | None:
        row = json.loads(payload(POLICY, call(), contents="digests"))
        del row["readable"]
        row["errors"] = [["r", message] for message in messages]
        return RecordedDecision.model_validate_json(json.dumps(row)).fitness()

    assert fitness() is None
    assert fitness("No such key") is None
    assert fitness("No such key", "the request holds text with a NUL character") == "no"
    assert fitness("the request cannot be read (TypeError)") == "no"
    assert fitness("the request holds text that double() reads as NaN") == "nan"


def test_redacted_contents_are_not_taken_for_what_was_decided() -> None:
    row = json.loads(payload(POLICY, call(args={"amount": 1})))
    row["content"]["exact"] = False
    again = request_of_row(RecordedDecision.model_validate_json(json.dumps(row)), {})
    assert again.args == {"amount": None}
    del row["content"]["exact"]
    assert request_of_row(RecordedDecision.model_validate_json(json.dumps(row)), {}).args == {"amount": None}


@pytest.mark.parametrize("path", [[], [0, "missing"], [0, "a", 0], [2], [0, "b"], ["x"], [0]])
def test_a_path_of_doubles_that_leads_nowhere_is_refused(path: list[str | int]) -> None:
    content = Content(exact=True, text="", args={"a": 1, "b": True}, doubles=[path])
    row = read_row(payload(POLICY, call()))
    assert row is not None
    with pytest.raises(ValueError, match="path of doubles"):
        request_of_row(row.model_copy(update={"content": content}), {})


def test_whole_numbers_are_found_wherever_they_stand() -> None:
    assert holds_whole_numbers({"a": [{"b": 1}]})
    assert not holds_whole_numbers({"a": [{"b": 1.0}, True, "1", None]})


@pytest.mark.parametrize(
    "change",
    [
        {"effect": "maybe"},
        {"rules": "small"},
        {"roles": [1]},
        {"findings": {"secret": "1"}},
        {"counters": {"n": True}},
        {"counters": {"n": "1"}},
        {"id": ""},
        {"id": None},
        {"shadow": [["r", "deny", True, ""]]},
        {"content": {"args": {}}},
        {"content": {"text": "", "args": {}, "attributes": {"level": 1}}},
        {"args_shape": ["a"]},
    ],
)
def test_a_row_of_another_form_is_malformed(change: dict[str, Any]) -> None:
    row = json.loads(payload(POLICY, call()))
    assert read_row(canonical_json(row | {"later": 1}).decode()) is not None
    assert read_row(canonical_json(row | change).decode()) is None
    assert read_row("[" * 10_000) is None
