import yaml
from kept_traffic import decided, row, said

from backstay.guard.harvest import KeptRow
from backstay.guard.harvest.policy_cases import HEAD, PER_RULE, policy_cases
from backstay.policy import PolicyBundle, parse_policy, run_cases
from backstay.policy.rules import Case

POLICY = """
policy: 1
counters: {paid: {sum: args.amount, tool: pay}}
rules:
  - id: no-pay
    effect: forbid
    match: {point: model.tool_call, tool: pay}
    when: args.amount > 10 && principal.roles.exists(r, r == "guest")
    reason: too much
  - id: pay
    effect: permit
    match: {point: model.tool_call, tool: pay}
    reason: else
"""
BUNDLE = PolicyBundle.compile([("p", parse_policy(POLICY, "p"))])


def paying(number: int, amount: int, effect: str, **facts: object) -> KeptRow:
    one = decided(
        "model.tool_call",
        effect,
        id=f"d{number}",
        action="call",
        tool="pay",
        args={"amount": amount},
        roles=("guest",),
        rules=("no-pay" if effect == "deny" else "pay",),
        provenance={"amount": ("user",)},
        call={"side_effect": "none", "facts": (), "destination": ()},
        counters={"paid": 3.0, "unknown": None},
        **facts,
    )
    return KeptRow(said(number, "pay", decisions=(one,)))


def test_cases_stand_beside_their_rules_and_pass() -> None:
    found = policy_cases([paying(1, 50, "deny"), paying(2, 5, "allow")], BUNDLE)
    assert {rule: len(cases) for rule, cases in found.by_rule.items()} == {"no-pay": 1, "pay": 1}
    assert found.text().startswith(HEAD)
    read = yaml.safe_load(found.text())["tests"]
    policy = yaml.safe_load(POLICY)
    for rule in policy["rules"]:
        rule["tests"] = read[rule["id"]]
    text = yaml.safe_dump(policy)
    results = run_cases(PolicyBundle.compile([("p", parse_policy(text, "p"))]))
    assert [(result.rule, result.passed) for result in results] == [("no-pay", True), ("pay", True)]
    (case,) = read["no-pay"]
    assert case["request"]["counters"] == {"paid": 3.0} and case["name"].startswith("production ")


def test_what_a_policy_decides_otherwise_is_left_out() -> None:
    rows = [paying(1, 50, "deny"), paying(2, 5, "deny")]
    assert policy_cases(rows).total == 2
    found = policy_cases(rows, BUNDLE)
    assert (found.total, found.changed) == (1, 1)


def test_equal_requests_are_one_case_and_a_rule_has_a_bound() -> None:
    rows = [paying(n, 50, "deny") for n in range(9)]
    assert policy_cases(rows).total == 1
    many = policy_cases([paying(n, 50 + n, "deny") for n in range(PER_RULE + 7)])
    assert (many.total, many.over) == (PER_RULE, 7)


def test_what_is_disputed_or_unclean_is_no_case() -> None:
    rows = [
        row(1, "x", "y", effect="deny", scores={"alice": -1}),
        row(2, "x", "z", effect="hold", verdict="approved", decisions=(decided("model.output", "hold", text="z"),)),
    ]
    found = policy_cases(rows)
    assert {case["expect"] for cases in found.by_rule.values() for case in cases} == {"allow"}
    left = policy_cases([paying(1, 50, "deny"), paying(2, 5, "allow")], clean=lambda asked: asked["args"]["amount"] < 9)
    assert (left.total, left.unclean) == (1, 1)


def test_hostile_texts_survive_yaml() -> None:
    text = "a: [b\n# c\x1b[31m 'd' \"e\" \u202e ---\n...\ttab"
    found = policy_cases([KeptRow(said(1, text, decisions=(decided("request.input", text=text),)))])
    ((case,),) = yaml.safe_load(found.text())["tests"].values()
    assert Case.model_validate(case).request.text == text
