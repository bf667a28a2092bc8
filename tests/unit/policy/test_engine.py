import pytest
from policy_texts import bundle, call, rule

from backstay.errors import UsageError
from backstay.policy import Annotate, Mask, Redact, Request, RequireApproval

BROKEN = "args.missing > 1"


@pytest.mark.parametrize(
    ("effects", "expected", "ids"),
    [
        ((), "deny", ()),
        (("permit",), "allow", ("r0",)),
        (("hold",), "hold", ("r0",)),
        (("forbid",), "deny", ("r0",)),
        (("permit", "hold"), "hold", ("r1",)),
        (("permit", "forbid"), "deny", ("r1",)),
        (("forbid", "hold", "permit"), "deny", ("r0",)),
        (("permit", "permit"), "allow", ("r0", "r1")),
    ],
)
def test_forbid_stands_over_hold_over_permit_over_the_default(
    effects: tuple[str, ...], expected: str, ids: tuple[str, ...]
) -> None:
    policy = bundle([rule(f"r{i}", effect) for i, effect in enumerate(effects)])
    decision = policy.decide(call())
    assert (decision.effect, decision.rules) == (expected, ids)
    assert decision.policy == policy.hash


@pytest.mark.parametrize(("effect", "expected"), [("forbid", "deny"), ("hold", "hold"), ("permit", "deny")])
def test_a_condition_that_errs_never_permits(effect: str, expected: str) -> None:
    decision = bundle([rule("broken", effect, BROKEN)]).decide(call())
    assert decision.effect == expected
    assert [error.rule for error in decision.errors] == ["broken"]


def test_a_broken_permit_does_not_spoil_another() -> None:
    decision = bundle([rule("broken", "permit", BROKEN), rule("sound", "permit")]).decide(call())
    assert (decision.effect, decision.rules) == ("allow", ("sound",))


def test_what_a_broken_permit_asks_for_is_asked_where_the_default_allows() -> None:
    cut = rule(
        "cut",
        "permit",
        "findings.secret > 0",
        point="model.output",
        tool="*",
        obligations=[{"redact": {"kinds": ["secret"]}}],
    )
    policy = bundle([cut])
    told = {None: (Redact(kinds=("secret",)),), 0: (), 2: (Redact(kinds=("secret",)),)}
    for count, obligations in told.items():
        findings = None if count is None else {"secret": count}
        decision = policy.decide(Request(point="model.output", text="x", findings=findings))
        assert (decision.effect, decision.obligations) == ("allow", obligations)


def test_text_points_allow_by_default_tool_calls_and_unknown_points_do_not() -> None:
    policy = bundle([])
    assert policy.decide(Request(point="model.output")).effect == "allow"
    assert policy.decide(call()).effect == "deny"
    assert policy.decide(Request(point="model.ouptut")).effect == "deny"
    assert bundle([], default={"model.output": "deny"}).decide(Request(point="model.output")).effect == "deny"


def test_obligations_of_holds_and_permits_are_united_strictest_first() -> None:
    policy = bundle(
        [
            rule("a", "hold", obligations=[{"require_approval": {"k": 1, "of": ["lead"], "expires_s": 60}}]),
            rule("b", "hold", obligations=[{"require_approval": {"k": 2, "of": ["lead"], "expires_s": 600}}]),
            rule("c", "permit", obligations=[{"mask": {"args": ["iban"]}}, {"annotate": {"labels": ["money"]}}]),
        ]
    )
    decision = policy.decide(call())
    assert decision.rules == ("a", "b")
    assert decision.obligations == (
        Mask(args=("iban",)),
        RequireApproval(k=2, of=("lead",), expires_s=60),
        Annotate(labels=("money",)),
    )


def test_different_roles_must_all_approve() -> None:
    approvals = [{"k": 2, "of": ["lead"], "expires_s": 600}, {"k": 1, "of": ["security", "lead"], "expires_s": 60}]
    policy = bundle(
        [rule(f"h{i}", "hold", obligations=[{"require_approval": approval}]) for i, approval in enumerate(approvals)]
    )
    assert policy.decide(call()).obligations == (
        RequireApproval(k=2, of=("lead",), expires_s=60),
        RequireApproval(k=1, of=("lead", "security"), expires_s=60),
    )


def test_two_routes_are_a_denial_not_a_choice() -> None:
    policy = bundle([rule(f"p{i}", "permit", obligations=[{"route": {"model": f"m{i}"}}]) for i in range(2)])
    decision = policy.decide(call())
    assert decision.effect == "deny"
    assert decision.reasons == ("rules route to different models: m0, m1",)


def test_shadow_rules_decide_nothing_and_say_what_they_would() -> None:
    rules = [rule("open", "permit"), rule("new", "forbid", "args.amount > 5", mode="shadow")]
    decision = bundle(rules).decide(call())
    assert (decision.effect, decision.shadow_effect) == ("allow", "deny")
    assert [(s.rule, s.applied) for s in decision.shadow] == [("new", True)]
    assert bundle(rules).decide(call(args={"amount": 1})).shadow_effect == "allow"
    opened = bundle([rule("new", "permit", mode="shadow")]).decide(call())
    assert (opened.effect, opened.shadow_effect) == ("deny", "allow")


def test_an_argument_without_known_origin_is_not_taken_for_the_users() -> None:
    policy = bundle([rule("open", "permit"), rule("taint", "forbid", '"tool" in provenance.to')])
    sent = {"to": "a"}
    assert policy.decide(call(args=sent)).effect == "allow"
    assert policy.decide(call(args={})).effect == "allow"
    assert policy.decide(call(args=sent, provenance={"to": ["tool"]})).effect == "deny"
    assert policy.decide(call(args=sent, provenance={})).effect == "deny"
    assert policy.decide(call(args=sent, provenance=None)).effect == "deny"


def test_counters_are_variables_and_unknown_ones_forbid() -> None:
    head = {"counters": {"spent": {"sum": "args.amount", "tool": "pay", "within_s": 60}}}
    policy = bundle([rule("open", "permit"), rule("cap", "forbid", "counter.spent > 100.0")], **head)
    assert policy.decide(call(counters={"spent": 99.0})).effect == "allow"
    assert policy.decide(call(counters={"spent": 101.0})).effect == "deny"
    assert policy.decide(call(counters={"spent": None})).effect == "deny"
    assert policy.decide(call()).effect == "deny"


def test_the_hash_is_about_what_is_decided() -> None:
    first, second = rule("a", "permit"), rule("b", "forbid", "args.amount > 5")
    tested = {**second, "tests": [{"request": {"args": {"amount": 9}}, "expect": "deny"}]}
    assert bundle([first, second]).hash == bundle([tested, first]).hash
    assert bundle([first, second]).hash != bundle([first, {**second, "when": "args.amount > 6"}]).hash
    assert bundle([first]).hash != bundle([first], default={"model.output": "deny"}).hash


def test_patterns_of_tools_and_actions_choose_the_rules() -> None:
    policy = bundle([rule("reads", "permit", tool="read_*"), rule("one", "forbid", tool=["read_key", "read_pin"])])
    told = {"read_a": "allow", "read_key": "deny", "read_pin": "deny", "write_a": "deny", "xread_a": "deny"}
    assert {tool: policy.decide(call(tool)).effect for tool in told} == told


def test_many_names_do_not_grow_the_index_without_bound() -> None:
    policy = bundle([rule("reads", "permit", tool="read_*")])
    for number in range(5000):
        assert policy.decide(call(f"read_{number}")).effect == "allow"
    assert len(policy._index._buckets) <= 4096


def test_one_id_in_two_files_and_two_defaults_are_refused() -> None:
    from policy_texts import as_yaml

    from backstay.policy import PolicyBundle, parse_policy

    files = [(name, parse_policy(as_yaml([rule("a", "permit")]), name)) for name in ("one.yaml", "two.yaml")]
    with pytest.raises(UsageError, match=r"two.yaml: rule a stands there twice, and in one.yaml"):
        PolicyBundle.compile(files)
    heads = [{"default": {"model.output": effect}} for effect in ("allow", "deny")]
    unlike = [(f"{i}.yaml", parse_policy(as_yaml([], **head), f"{i}.yaml")) for i, head in enumerate(heads)]
    with pytest.raises(UsageError, match=r"1.yaml: default for model.output is set otherwise"):
        PolicyBundle.compile(unlike)


def test_what_is_known_of_a_call_decides_and_what_is_not_known_forbids() -> None:
    policy = bundle([rule("open", "permit"), rule("taint", "forbid", '"unvouched" in call.destination')])
    looked = {"side_effect": "pays", "facts": [], "destination": ["user"]}
    assert policy.decide(call(call=looked)).effect == "allow"
    assert policy.decide(call(call=looked | {"destination": ["unvouched", "user"]})).effect == "deny"
    assert policy.decide(call(call=None)).effect == "deny"
    assert policy.decide(call(call={"side_effect": "pays", "facts": []})).effect == "deny"
    assert policy.decide(call(call=looked | {"destinatoin": ["user"]})).effect == "deny"


@pytest.mark.parametrize("when", ["'a' in call.destinations", "'a' in call", "call.side_effect > 1", "call.facts"])
def test_a_wrong_name_or_type_about_a_call_is_refused(when: str) -> None:
    with pytest.raises(UsageError, match="rule a, when"):
        bundle([rule("a", "forbid", when)])
