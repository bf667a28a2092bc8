import sys
from pathlib import Path

import pytest
from policy_texts import bundle, rule

from backstay.errors import UsageError
from backstay.policy import load_policies
from backstay.policy.analyze import analyze, reachable_while_tainted
from backstay.policy.cel_subset import NotAnalysable, parse_condition

RECIPE = Path(__file__).parents[3] / "recipes" / "policies" / "tools.yaml"


def verdicts(*rules: object) -> dict[str, str]:
    return {a.question: a.verdict for a in analyze(bundle(list(rules)))}  # type: ignore[arg-type]  # rules are mappings


def test_a_rule_that_stronger_ones_always_override_never_decides() -> None:
    found = analyze(bundle([rule("a", "permit", "args.amount > 10"), rule("b", "forbid", "args.amount > 5")]))
    assert ("never", ("a",), "stronger rules always decide") in [(a.verdict, a.rules, a.detail) for a in found]


def test_a_condition_that_contradicts_itself_never_decides() -> None:
    found = analyze(bundle([rule("a", "permit", "args.amount > 10 && args.amount < 5")]))
    assert [(a.verdict, a.detail) for a in found] == [("never", "its condition is never true")]


def test_a_forbid_that_contradicts_itself_still_decides_on_errors() -> None:
    assert verdicts(rule("a", "forbid", "args.amount > 10 && args.amount < 5")) == {}
    guarded = "has(args.amount) && args.amount == 10 && args.amount == 5"
    assert verdicts(rule("a", "forbid", guarded)) == {"does a ever decide at model.tool_call?": "never"}


def test_one_forbid_within_another_is_said() -> None:
    found = analyze(bundle([rule("a", "forbid", "args.amount > 10"), rule("b", "forbid", "args.amount > 5")]))
    assert [(a.rules, a.detail) for a in found] == [(("a",), "another forbid always counts where it does")]


def test_overlaps_come_with_a_request_that_the_engine_denies() -> None:
    policy = bundle(
        [rule("a", "permit", "args.amount < 10"), rule("b", "forbid", "args.amount > 5 && args.amount < 8")]
    )
    (answer,) = analyze(policy)
    assert (answer.verdict, answer.rules) == ("can", ("a", "b"))
    assert answer.example is not None
    assert 5 < answer.example.args["amount"] < 8
    assert policy.decide(answer.example).effect == "deny"


def test_patterns_of_tools_count_in_the_analysis() -> None:
    apart = [rule("a", "permit", "args.x == 1", tool="get_*"), rule("b", "forbid", "args.x == 1", tool="send_*")]
    assert verdicts(*apart) == {}
    crossing = [rule("a", "permit", "args.x == 1", tool="get_*"), rule("b", "forbid", "args.x == 1", tool="*_key")]
    (answer,) = [a for a in analyze(bundle(crossing)) if a.verdict == "can"]
    assert answer.example is not None
    assert answer.example.tool.startswith("get_") and answer.example.tool.endswith("_key")


def test_taint_reaches_a_tool_with_a_request_to_show_it() -> None:
    opened = rule("open", "permit", "'clerk' in principal.roles && args.amount < 50")
    taint = rule("taint", "forbid", "'tool' in provenance.to")
    answer = reachable_while_tainted(bundle([opened, taint]), "pay", arg="amount")
    assert answer.verdict == "can"
    assert answer.example is not None
    assert "tool" in (answer.example.provenance or {})["amount"]
    assert bundle([opened, taint]).decide(answer.example).effect == "allow"
    assert reachable_while_tainted(bundle([opened, taint]), "pay", arg="to").verdict == "never"
    assert reachable_while_tainted(bundle([opened, taint]), "pay").verdict == "can"
    assert reachable_while_tainted(bundle([taint]), "pay").verdict == "never"


def test_a_hole_in_a_taint_rule_is_found() -> None:
    opened = rule("open", "permit", "args.amount < 50")
    taint = rule("taint", "forbid", "'tool' in provenance.to && !('user' in provenance.to)")
    answer = reachable_while_tainted(bundle([opened, taint]), "pay", arg="to")
    assert answer.verdict == "can"
    assert answer.example is not None
    assert {"tool", "user"} <= set((answer.example.provenance or {})["to"])


def test_what_is_not_analysed_is_said_so_and_never_proves_anything_open() -> None:
    opened = rule("open", "permit", "args.to.matches('^[a-z]+$')")
    taint = rule("taint", "forbid", "'tool' in provenance.to")
    assert reachable_while_tainted(bundle([opened, taint]), "pay", arg="to").verdict == "never"
    answer = reachable_while_tainted(bundle([rule("open", "permit", "args.to.matches('^[a-z]+$')")]), "pay", arg="to")
    assert (answer.verdict, answer.detail) == ("not analysable", "rule open: matches() is not analysed")


def test_the_recipe_is_analysed() -> None:
    policy = load_policies([RECIPE])
    assert [a for a in analyze(policy) if a.verdict == "never"] == []
    assert reachable_while_tainted(policy, "refund", arg="order").verdict == "can"


@pytest.mark.parametrize("text", ["args.a * 2 == 4", "args.a[0] == 1", "'a\\n' == text", "args[args.k] == 1", "a ? b"])
def test_the_parser_refuses_what_it_does_not_know(text: str) -> None:
    with pytest.raises(NotAnalysable):
        parse_condition(text)


def test_a_missing_solver_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "z3", None)
    with pytest.raises(UsageError, match="z3-solver is not installed") as caught:
        analyze(bundle([rule("a", "permit")]))
    assert caught.value.cure == "pip install 'backstay[policy-analysis]'"


def test_a_list_about_the_call_can_be_asked_about() -> None:
    opened = rule("open", "permit", "call.side_effect != 'undeclared'")
    held = rule("held", "hold", "'unvouched' in call.destination && 'after_untrusted' in call.facts")
    answer = reachable_while_tainted(bundle([opened, held]), "pay", "unvouched", "call.destination")
    assert answer.verdict == "can"
    assert answer.example is not None and answer.example.call is not None
    assert "unvouched" in answer.example.call["destination"]
    assert "after_untrusted" not in answer.example.call["facts"]
    assert bundle([opened, held]).decide(answer.example).effect == "allow"
    always = rule("held", "hold", "'unvouched' in call.destination")
    assert reachable_while_tainted(bundle([opened, always]), "pay", "unvouched", "call.destination").verdict == "never"
    assert reachable_while_tainted(bundle([opened, always]), "pay", "unvouched", "call.selector").verdict == "can"


def test_a_list_that_no_call_has_is_refused() -> None:
    with pytest.raises(UsageError, match="a call has no 'side_effect'"):
        reachable_while_tainted(bundle([rule("a", "permit", "args.x == 1")]), "pay", "x", "call.side_effect")
