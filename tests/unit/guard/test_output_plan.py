"""Which answers can be decided while they stream; the plan must agree with the policy asked about the whole."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.guard.findings import counted
from backstay.guard.output_plan import OutputPlan, PackKinds, plan_output
from backstay.guard.redaction import redact
from backstay.policy import PolicyBundle, Request, parse_policy
from backstay.records import Finding
from backstay.scan.secrets import scan_secrets, secret_pack

PACK = secret_pack()
KINDS = PackKinds(PACK, {rule.kind: "secrets" for rule in PACK.rules})
TOKENS = {
    "github_token": "ghp_" + "a" * 30 + "2xbxfm",
    "aws_access_key_id": "AKIA" + "Q4ZT7MXCB2WEYJHN",
    "slack_webhook": "",
}


def bundle_of(rules: str) -> PolicyBundle:
    return PolicyBundle.compile([("test", parse_policy(f"policy: 1\nrules:\n{rules}", "test"))])


def plan_of(bundle: PolicyBundle) -> OutputPlan:
    request = Request(point="model.output", findings={})
    return plan_output(bundle.rules_at("model.output"), request, bundle.decide, KINDS)


def rule(effect: str, when: str = "", duties: str = "") -> str:
    condition = f"\n    when: '{when}'" if when else ""
    obligations = f"\n    obligations: {duties}" if duties else ""
    name = f"r{random.Random(effect + when + duties).randrange(10**9)}"
    head = f"  - id: {name}\n    effect: {effect}\n    match: {{point: model.output}}"
    return f"{head}{condition}{obligations}\n    reason: test\n"


@pytest.mark.parametrize(
    "when",
    [
        'text.contains("x")',
        "findings.github_token > 1",
        "findings.github_token == 0",
        "findings.github_token > 0 && findings.aws_access_key_id > 0",
        "!(findings.github_token > 0)",
        "findings.size() > 0",
        "findings.injection > 0",
        'findings["github_token"] < 3',
        "findings.github_token > 0 ? true : findings.aws_access_key_id > 0",
    ],
)
def test_conditions_that_need_the_whole(when: str) -> None:
    plan = plan_of(bundle_of(rule("forbid", when)))
    assert plan.whole and plan.redaction is None


@pytest.mark.parametrize(
    "when",
    [
        "findings.github_token > 0",
        'findings["github_token"] >= 1',
        "findings.github_token != 0 || findings.aws_access_key_id > 0",
        'findings.secrets > 0 && "guest" in principal.roles',
        'principal.id == "text"',
        "",
    ],
)
def test_conditions_that_stream(when: str) -> None:
    assert not plan_of(bundle_of(rule("permit", when, "[{redact: {kinds: [secrets]}}]"))).whole


def test_holds_need_the_whole() -> None:
    assert plan_of(bundle_of(rule("hold", "", "[{require_approval: {of: [lead]}}]"))).whole


def test_nothing_is_redacted_that_nobody_asked_for() -> None:
    plan = plan_of(bundle_of(rule("permit")))
    assert not plan.whole and plan.redaction is None


RULES = [
    rule("permit", "", "[{redact: {kinds: [github_token]}}]"),
    rule("permit", "findings.aws_access_key_id > 0", "[{redact: {kinds: [aws_access_key_id]}}]"),
    rule("permit", "findings.secrets > 0", '[{redact: {kinds: ["*"]}}]'),
    rule("forbid", "findings.aws_access_key_id > 0"),
    rule("forbid", 'findings.github_token > 0 && principal.id == "other"'),
    rule("forbid", 'findings.secrets > 0 && principal.id == "agent"'),
]


@settings(deadline=None, max_examples=60)
@given(st.sets(st.sampled_from(RULES), min_size=1), st.sampled_from(["agent", "someone"]))
def test_the_plan_is_what_policy_says_of_each_finding(rules: set[str], who: str) -> None:
    """For each kind alone: denied by the plan if and only if policy denies a text with it; so too for redaction."""
    bundle = bundle_of("".join(sorted(rules)))
    asked = Request(point="model.output", principal=who, findings={})
    plan = plan_output(bundle.rules_at("model.output"), asked, bundle.decide, KINDS)
    assert not plan.whole
    for kind in ("github_token", "aws_access_key_id"):
        text = f"see {TOKENS[kind]} there"
        (finding,) = [f for f in scan_secrets(text) if f.kind == kind]
        told = bundle.decide(Request(point="model.output", principal=who, findings=counted([finding])))
        shown, decision = (text, None) if plan.redaction is None else redact(text, plan.redaction)
        if told.effect == "deny":
            assert decision is not None and decision.effect == "deny"
        else:
            wanted = {k for duty in told.obligations if duty.name == "redact" for k in duty.kinds}
            assert (TOKENS[kind] not in shown) == bool(wanted & {kind, "secrets", "*"})


def test_findings_count_for_their_scanner_too() -> None:
    found = [
        Finding(scanner="secrets", kind="a", severity="high"),
        Finding(scanner="secrets", kind="b", severity="high"),
    ]
    assert counted(found) == {"a": 1, "b": 1, "secrets": 2}
