from typing import Any

import pytest
from kept_traffic import POLICY, decided, row, said

from backstay.guard.harvest import KeptRow
from backstay.guard.harvest.redteam_cases import cases_of

CALL = decided(
    "model.tool_call",
    "deny",
    id="d9",
    tool="pay",
    text="100",
    args={"amount": 100},
    rules=("no-pay", "second"),
    findings={"sql": 1},
)


def test_a_case_for_each_decision_that_did_not_allow() -> None:
    held = decided("request.input", "hold", text="do it", id="d8")
    kept = said(1, "do it", decisions=(held, decided("model.output", text="well"), CALL))
    first, second = cases_of(KeptRow(kept))
    assert (first.expected, first.point, first.rule) == ("held", "request.input", "r1")
    assert (second.expected, second.tool, second.args) == ("denied", "pay", {"amount": 100})
    assert (second.rule, second.rules) == ("no-pay", ("no-pay", "second"))
    assert second.source.model_dump() == {
        "exchange": kept.exchange,
        "decisions": ("d9",),
        "policy": POLICY,
        "effect": "deny",
    }
    assert first.id != second.id and cases_of(KeptRow(kept))[0].id == first.id
    assert cases_of(row(2, "hello", "hello")) == []


@pytest.mark.parametrize(
    ("masked", "replayable"), [((), True), (("email",), True), (("sql",), False), (("withheld",), False)]
)
def test_it_is_replayable_where_nothing_that_decided_was_replaced(masked: tuple[str, ...], replayable: bool) -> None:
    one = CALL.model_copy(update={"masked": masked})
    (case,) = cases_of(KeptRow(said(1, "x", decisions=(one,))))
    assert case.replayable is replayable


@pytest.mark.parametrize(
    ("effect", "facts", "disputed"),
    [
        ("deny", {}, False),
        ("deny", {"scores": {"alice": 1}}, False),
        ("deny", {"scores": {"alice": -1}}, True),
        ("hold", {"scores": {"alice": -1}}, False),  # Nobody was told that it was wrong.
        ("hold", {"verdict": "denied"}, False),
        ("hold", {"verdict": "approved"}, True),
    ],
)
def test_it_is_disputed_where_somebody_said_so(effect: str, facts: dict[str, Any], disputed: bool) -> None:
    (case,) = cases_of(row(1, "x", "y", effect=effect, **facts))
    assert case.disputed is disputed
    assert case.verdict == facts.get("verdict", "")
    assert case.thumbs_up - case.thumbs_down == sum(facts.get("scores", {}).values())
