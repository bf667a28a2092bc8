"""What must hold of decisions whatever the rules: no order, no error and no repetition opens anything."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_expressions import conditions
from policy_texts import bundle, call, rule

from backstay.policy import (
    CelExprEngine,
    CelRustEngine,
    ConditionEngine,
    ConditionError,
    ConditionRefused,
    merge_obligations,
)
from backstay.policy.obligations import Annotate, Canary, Limit, Mask, Obligation, Redact, RequireApproval, Route

pytestmark = pytest.mark.property

CONDITIONS = [
    None,
    "args.amount > 5",
    "args.amount <= 5",
    "args.missing == 1",
    "'lead' in principal.roles",
    "1 / 0 == 1",
]
EXTRA: list[list[dict[str, Any]]] = [
    [],
    [{"mask": {"args": ["a"]}}],
    [{"annotate": {"labels": ["x", "y"]}}, {"route": {"model": "m1"}}],
    [{"route": {"model": "m2"}}],
]
APPROVALS: list[dict[str, Any]] = [
    {"require_approval": {"k": 1, "of": ["lead"], "expires_s": 60}},
    {"require_approval": {"k": 2, "of": ["lead"], "expires_s": 600}},
    {"require_approval": {"k": 1, "of": ["security"], "expires_s": 30}},
]


@st.composite
def written_rules(draw: st.DrawFn) -> list[dict[str, Any]]:
    rules = []
    for i in range(draw(st.integers(0, 7))):
        effect = draw(st.sampled_from(["permit", "forbid", "hold"]))
        obligations = [*draw(st.sampled_from(EXTRA)), *([draw(st.sampled_from(APPROVALS))] if effect == "hold" else [])]
        tool, mode = draw(st.sampled_from(["pay", "p*", "*", "other"])), draw(st.sampled_from(["enforce", "shadow"]))
        when = draw(st.sampled_from(CONDITIONS))
        rules.append(rule(f"r{i}", effect, when, obligations=obligations, tool=tool, mode=mode))
    return rules


requests = st.builds(
    lambda amount, roles, tool: call(tool, args={"amount": amount}, roles=roles),
    st.sampled_from([1, 9, "nine"]),
    st.sampled_from([(), ("lead",)]),
    st.sampled_from(["pay", "other", "third"]),
)


@settings(max_examples=150, deadline=None)
@given(written_rules(), requests, st.randoms(use_true_random=False))
def test_no_order_of_rules_changes_a_decision(rules: list[dict[str, Any]], request: Any, rng: random.Random) -> None:
    shuffled = rng.sample(rules, len(rules))
    assert bundle(rules).decide(request) == bundle(shuffled).decide(request)


def truth(rules: list[dict[str, Any]], request: Any) -> str:
    """Cedar's algebra, written out over the rules as they stand in the file."""

    def holds(when: str | None) -> bool | None:
        amount = request.args["amount"]
        if when is None or when == "'lead' in principal.roles":
            return when is None or "lead" in request.roles
        if "amount" not in when or isinstance(amount, str):
            return None
        return bool(amount > 5) if ">" in when else bool(amount <= 5)

    tools = {"pay": {"pay", "p*", "*"}, "other": {"other", "*"}, "third": {"*"}}[request.tool]
    mine = [(r, holds(r.get("when"))) for r in rules if r["match"]["tool"] in tools and r["mode"] == "enforce"]
    if any(r["effect"] == "forbid" and value is not False for r, value in mine):
        return "deny"
    held = any(r["effect"] == "hold" and value is not False for r, value in mine)
    permitted = any(r["effect"] == "permit" and value is True for r, value in mine)
    counted = [r for r, value in mine if value is not False and r["effect"] != "forbid"]
    models = {o["route"]["model"] for r in counted for o in r["obligations"] if "route" in o}
    if (held or permitted) and len(models) > 1:
        return "deny"
    return "hold" if held else "allow" if permitted else "deny"


@settings(max_examples=200, deadline=None)
@given(written_rules(), requests)
def test_a_decision_is_what_the_algebra_says(rules: list[dict[str, Any]], request: Any) -> None:
    assert bundle(rules).decide(request).effect == truth(rules, request)


@settings(max_examples=100, deadline=None)
@given(written_rules(), requests)
def test_the_shadow_effect_is_the_effect_when_enforced(rules: list[dict[str, Any]], request: Any) -> None:
    for each in rules:
        each["obligations"] = [o for o in each["obligations"] if "route" not in o]
    decision = bundle(rules).decide(request)
    if decision.shadow_effect is not None:
        enforced = bundle([{**each, "mode": "enforce"} for each in rules]).decide(request)
        assert decision.shadow_effect == enforced.effect


@settings(max_examples=100, deadline=None)
@given(written_rules(), requests)
def test_taking_away_a_permit_or_adding_a_forbid_never_opens(rules: list[dict[str, Any]], request: Any) -> None:
    openness = {"deny": 0, "hold": 1, "allow": 2}
    fewer = [each for each in rules if each["effect"] != "permit"]
    more = [*rules, rule("more", "forbid", "args.amount > 5")]
    before = openness[bundle(rules).decide(request).effect]
    if not any("route" in o for each in rules for o in each["obligations"]):
        assert openness[bundle(fewer).decide(request).effect] <= before
        assert openness[bundle(more).decide(request).effect] <= before


names = st.sampled_from(["a", "b", "c"])
several = st.lists(names, min_size=1, max_size=3).map(tuple)
obligations = st.one_of(
    st.builds(Redact, kinds=several),
    st.builds(Mask, args=several),
    st.builds(RequireApproval, k=st.integers(1, 4), of=several, expires_s=st.sampled_from([1.0, 60.0])),
    st.builds(Route, model=names),
    st.builds(Limit, at_most=st.integers(1, 5), within_s=st.sampled_from([1.0, 60.0])),
    st.builds(Annotate, labels=several),
    st.builds(Canary, kinds=several),
)


@given(st.lists(obligations, max_size=6), st.randoms(use_true_random=False))
def test_merging_forgets_nothing_and_knows_no_order(given_: list[Obligation], rng: random.Random) -> None:
    merged = merge_obligations(given_)
    assert merge_obligations(rng.sample(given_, len(given_)) + given_) == merged
    assert merge_obligations(merged.obligations) == merged
    approvals = [o for o in given_ if isinstance(o, RequireApproval)]
    for asked in approvals:
        (kept,) = [o for o in merged.obligations if isinstance(o, RequireApproval) and set(o.of) == set(asked.of)]
        assert kept.k >= asked.k
        assert kept.expires_s == min(approval.expires_s for approval in approvals)


numbers = st.integers(-3, 12).map(str)
atoms = st.one_of(
    st.sampled_from(
        ["true", "false", "'lead' in principal.roles", "tool == 'pay'", "has(args.amount)", "has(args.none)"]
    ),
    st.sampled_from(["args.none == 1", "1 / 0 == 1", "'tool' in provenance.amount", "args.word.startsWith('so')"]),
    st.sampled_from(["args.word.matches('^s.*e$')", "args.list.exists(x, x > 2)", "args.list.all(x, x > 0)"]),
    st.builds(lambda op, n: f"args.amount {op} {n}", st.sampled_from(["<", "<=", "==", "!=", ">=", ">"]), numbers),
    st.builds(lambda n, m: f"args.amount + {n} > {m}", numbers, numbers),
    st.builds(lambda n: f"findings.secret > {n}", numbers),
    st.builds(lambda n: f"counter.n >= {n}", numbers),
    st.builds(lambda n: f"size(args.list) == {n}", numbers),
)
expressions = conditions(atoms, 8)
TYPED, UNTYPED = CelExprEngine({"n": "int"}), CelRustEngine({"n": "int"})


def answer(engine: ConditionEngine, text: str, variables: dict[str, Any]) -> bool | str:
    try:
        return engine.compile(text)(engine.bind(variables))
    except ConditionError:
        return "error"
    except ConditionRefused:
        return "refused"


@settings(max_examples=400, deadline=None)
@given(expressions, st.integers(-3, 12), st.lists(st.integers(0, 4), max_size=3), st.integers(0, 2))
def test_two_independent_engines_agree(text: str, amount: int, items: list[int], secrets: int) -> None:
    variables = {
        "tool": "pay",
        "principal.roles": ["lead"] if amount % 2 else [],
        "args": {"amount": amount, "list": items, "word": "some"},
        "findings": {"secret": secrets},
        "provenance": {"amount": ["tool"] if secrets else ["user"]},
        "counter.n": amount,
    }
    assert answer(TYPED, text, variables) == answer(UNTYPED, text, variables)
