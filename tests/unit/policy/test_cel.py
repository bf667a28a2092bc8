import sys
from typing import Any

import pytest

from backstay.errors import UsageError
from backstay.policy import CelExprEngine, CelRustEngine, ConditionError, ConditionRefused
from backstay.policy.cel import unfit, without_values

VARIABLES: dict[str, Any] = {
    "point": "model.tool_call",
    "tool": "pay",
    "principal.id": "u1",
    "principal.roles": ["support"],
    "args": {"amount": 10, "to": {"name": "x"}, "none": None},
    "findings": {"secret": 1},
    "provenance": {"to": ["tool"]},
    "counter.n": 3,
}


@pytest.mark.parametrize("engine", [CelExprEngine, CelRustEngine])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tool == 'pay' && 'support' in principal.roles", True),
        ("args.amount > 5 && args.to.name == 'x'", True),
        ("has(args.iban)", False),
        ("findings.secret > 1 || counter.n == 3", True),
        ("provenance.to.exists(origin, origin == 'tool')", True),
        ("tool.matches('^(a|aa)+$')", False),
        ("args.nothing == 1", None),
        ("1 / 0 == 1", None),
        ("args.to > 5", None),
        ("false && args.nothing == 1", False),
    ],
)
def test_both_engines_answer_alike(engine: Any, text: str, expected: bool | None) -> None:
    made = engine({"n": "int"})
    condition = made.compile(text)
    bound = made.bind(VARIABLES)
    if expected is None:
        with pytest.raises(ConditionError):
            condition(bound)
    else:
        assert condition(bound) is expected


def test_only_the_typed_engine_refuses_wrong_types_before_they_run() -> None:
    with pytest.raises(ConditionRefused, match="no matching overload"):
        CelExprEngine().compile("principal.id > 5")
    CelRustEngine().compile("principal.id > 5")
    for engine in (CelExprEngine(), CelRustEngine()):
        with pytest.raises(ConditionRefused):
            engine.compile("tool ==")


def test_messages_quote_nothing_of_the_request() -> None:
    engine = CelExprEngine()
    condition = engine.compile("args.amount > 5 && args.word > 3")
    with pytest.raises(ConditionError) as caught:
        condition(engine.bind({"args": {"amount": 2**70, "word": "hunter2"}}))
    assert "hunter2" not in str(caught.value)
    assert str(2**70) not in str(caught.value)
    assert without_values("") == "no answer"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("a\0b", "NUL"),
        ({"a\0": 1}, "key with a NUL"),
        ({"a": [{"b": "\0"}]}, "NUL"),
        ({1: 2}, "key of type int"),
        (float("nan"), "not finite"),
        ([float("-inf")], "not finite"),
        (2**63, "64 bits"),
        (b"x", "type bytes"),
        ({"a": object()}, "type object"),
    ],
)
def test_values_that_the_runtime_misreads_are_unfit(value: Any, reason: str) -> None:
    assert reason in (unfit(value) or "")


def test_ordinary_values_are_fit() -> None:
    assert unfit({"a": [1, 2.5, None, True, "x", {"b": ("y",)}], "c": -(2**63)}) is None


def test_a_missing_engine_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel_expr_python.cel", None)
    with pytest.raises(UsageError, match="cel-expr-python is not installed") as caught:
        CelExprEngine()
    assert caught.value.cure == "pip install 'backstay[guard]'"
