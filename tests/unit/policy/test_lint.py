from typing import Any

import pytest
from policy_texts import bundle, rule

from backstay.policy import lint

TESTED = {"tests": [{"request": {"tool": "pay"}, "expect": "deny"}]}


def checks(*rules: dict[str, Any], **head: Any) -> set[tuple[str, str, str]]:
    return {(r.level, r.rule, r.check) for r in lint(bundle(list(rules), **head)) if r.check != "no-tests"}


def test_a_sound_policy_has_no_remarks() -> None:
    assert lint(bundle([rule("a", "forbid", "args.amount > 5", **TESTED)])) == ()


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule("a", "permit")], ("error", "a", "permit-without-condition")),
        ([rule("a", "forbid", point="model.output")], ("error", "a", "matches-nothing")),
        ([rule("a", "forbid", "true")], ("error", "a", "constant-condition")),
        ([rule("a", "permit", "args.x == 1"), rule("b", tool="p*")], ("error", "a", "unreachable")),
        ([rule("a", "hold", "args.x == 1"), rule("b", tool="*")], ("error", "a", "unreachable")),
        ([rule("a", "forbid", "args.x == 1"), rule("b", when="args.x==1")], ("warning", "b", "duplicate-condition")),
        (
            [rule("a", "permit", "text == 'x'", point="model.output", tool="*")],
            ("warning", "a", "permit-changes-nothing"),
        ),
        (
            [rule("a", "permit", "args.x == 1", **TESTED)],
            ("warning", "a", "never-fires-in-tests"),
        ),
    ],
)
def test_each_remark(rules: list[dict[str, Any]], expected: tuple[str, str, str]) -> None:
    assert expected in checks(*rules)


def test_what_is_reachable_is_not_called_unreachable() -> None:
    one, wide = rule("a", "permit", "args.x == 1", tool="p*"), rule("b", tool="pay")
    assert "unreachable" not in {check for _, _, check in checks(one, wide)}
    conditional = rule("b", when="args.amount > 5", tool="*")
    assert "unreachable" not in {check for _, _, check in checks(one, conditional)}


def test_a_permit_matters_where_the_default_denies() -> None:
    permit = rule("a", "permit", "text == 'x'", point="model.output", tool="*", **TESTED)
    assert ("warning", "a", "permit-changes-nothing") in checks(permit)
    assert ("warning", "a", "permit-changes-nothing") not in checks(permit, default={"model.output": "deny"})


def test_rules_without_tests_open_defaults_and_idle_counters_are_seen() -> None:
    found = lint(bundle([rule("a")], default={"model.tool_call": "allow"}, counters={"n": {"count": True}}))
    assert [(r.level, r.check) for r in found] == [
        ("error", "tools-allowed-by-default"),
        ("warning", "unused-counter"),
        ("warning", "no-tests"),
    ]
