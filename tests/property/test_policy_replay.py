"""What replay says is what the policy decides on the request itself, however little of the request was recorded."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_texts import bundle, rule
from recorded_traffic import payload

from backstay.policy import PolicyBundle, Request
from backstay.policy.recorded import readable
from backstay.policy.replay import Replay

pytestmark = pytest.mark.property

COUNTERS = {"calls": {"count": True}, "paid": {"sum": "args.amount"}}
OTHER_COUNTERS = {"calls": {"count": True, "tool": "pay"}, "paid": {"sum": "args.amount"}}
CONDITIONS = [
    None,
    "args.amount > 5",
    "args.amount + 1.0 > 6.0",
    "args.nested.list[0] + 0.5 > 1.0",
    "has(args.to) && args.to == 'x'",
    "text.contains('secret')",
    "text == ''",
    "principal.attributes.level >= 2",
    "resource.attributes.weight + 0.5 > 1.0",
    "'lead' in principal.roles",
    "'tool' in provenance.to",
    "findings.secret > 0",
    "counter.calls > 2",
    "counter.paid + 1.0 > 11.0",
    "double(args.to) > 1.0",
    "tool == 'pay'",
]
ROUTES: list[list[dict[str, Any]]] = [[], [{"route": {"model": "m1"}}], [{"route": {"model": "m2"}}]]
APPROVAL = {"require_approval": {"k": 1, "of": ["lead"], "expires_s": 60}}


@st.composite
def policies(draw: st.DrawFn) -> PolicyBundle:
    rules = []
    for i in range(draw(st.integers(0, 5))):
        effect = draw(st.sampled_from(["permit", "forbid", "hold"]))
        rules.append(
            rule(
                f"r{i}",
                effect,
                draw(st.sampled_from(CONDITIONS)),
                tool=draw(st.sampled_from(["pay", "*"])),
                mode=draw(st.sampled_from(["enforce", "enforce", "shadow"])),
                obligations=[*draw(st.sampled_from(ROUTES)), *([APPROVAL] if effect == "hold" else [])],
            )
        )
    return bundle(rules, counters=draw(st.sampled_from([COUNTERS, OTHER_COUNTERS])))


numbers = st.sampled_from(
    [0, 1, 5, 6, 10, 0.0, 5.0, 5.5, 6.0, 1e20, 1e21, 2**53 + 1, 2**70, -0.0, float("inf"), "six", None]
)
words = st.sampled_from(["", "x", "nan", "2.5", "a secret", "cut\0here"])
arguments = st.fixed_dictionaries(
    {},
    optional={"amount": numbers, "to": words, "nested": st.fixed_dictionaries({"list": st.lists(numbers, max_size=2)})},
)
attributes = st.fixed_dictionaries({}, optional={"level": numbers, "weight": numbers})
requests = st.builds(
    Request,
    point=st.just("model.tool_call"),
    action=st.just("call"),
    tool=st.sampled_from(["pay", "other", "p\u0430y"]),
    roles=st.sampled_from([(), ("lead",)]),
    principal_attributes=attributes,
    resource_attributes=attributes,
    args=arguments,
    text=words,
    findings=st.sampled_from([None, {}, {"secret": 1}]),
    provenance=st.sampled_from([None, {}, {"to": ["user"], "amount": ["user"]}, {"to": ["tool"]}]),
    counters=st.fixed_dictionaries(
        {"calls": st.sampled_from([None, 0, 3]), "paid": st.sampled_from([None, 0.0, 10.0, 12.5])}
    ),
)
JSON_HOLDS = (0, 1, 5, 6, 10, 0.0, 5.0, 5.5, 6.0, 1e20, 1e21)


def exactly_recorded(request: Request) -> bool:
    """Whether every number and text can stand in canonical JSON as it is."""

    def fine(value: Any) -> bool:
        if isinstance(value, dict):
            return all(fine(item) for item in value.values())
        if isinstance(value, list):
            return all(fine(item) for item in value)
        return value is None or isinstance(value, str) or (value in JSON_HOLDS and str(value) != "-0.0")

    return fine([request.args, dict(request.principal_attributes), dict(request.resource_attributes)])


def replayed(row: str, *policies: PolicyBundle, **options: Any) -> Replay:
    compared = Replay(*policies, **options)
    assert compared.add(row, "row") is not None, compared.malformed.as_json()
    return compared


@settings(max_examples=300, deadline=None)
@given(policies(), requests, st.sampled_from(["full", "digests"]))
def test_the_very_same_policy_gives_no_difference(policy: PolicyBundle, request: Request, contents: Any) -> None:
    try:
        row = payload(policy, request, contents=contents)
    except ValueError:
        return  # names that canonical JSON cannot hold: the ledger refuses such a row too
    compared = replayed(row, policy)
    assert (compared.same, compared.unknown, compared.not_reproduced.count) == (1, 0, 0)
    assert not compared.duties


@settings(max_examples=400, deadline=None)
@given(policies(), policies(), requests, st.sampled_from(["full", "digests"]), st.booleans())
def test_what_is_known_is_what_the_candidate_decides(
    old: PolicyBundle, new: PolicyBundle, request: Request, contents: Any, says_readable: bool
) -> None:
    row = json.loads(payload(old, request, contents=contents))
    if not says_readable:
        del row["readable"]
    compared = replayed(json.dumps(row), new)
    if not compared.unknown:
        assert dict(compared.after) == {new.decide(request).effect: 1}
        assert dict(compared.before) == {old.decide(request).effect: 1}


@settings(max_examples=300, deadline=None)
@given(policies(), policies(), requests)
def test_nothing_is_unknown_where_contents_are_recorded_and_counters_alike(
    old: PolicyBundle, new: PolicyBundle, request: Request
) -> None:
    if old.counters != new.counters or not exactly_recorded(request):
        return
    compared = replayed(payload(old, request), new, old)
    assert compared.unknown == 0
    assert compared.not_reproduced.count == 0
    decision = new.decide(request)
    assert dict(compared.after) == {decision.effect: 1}
    if decision.effect != old.decide(request).effect:
        change = compared.changes[old.decide(request).effect, decision.effect]
        assert {rule for rule, _ in change.now.ranked()} == set(decision.rules or ["(default)"])


values = st.recursive(
    st.one_of(numbers, st.sampled_from(["nan", " +NaN(x", "-nano", "an", "\u2003nan", "nan\0", "n" * 1001, True])),
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner), st.dictionaries(st.sampled_from(["a", "b\0", "nan"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(values, values, st.sampled_from(["x", "nan"]), st.sampled_from([(), ("nan",), ("a\0",), {"a"}]))
def test_a_row_says_what_conditions_met(argument: Any, attribute: Any, principal: str, origins: Any) -> None:
    request = Request(
        point="model.tool_call",
        tool="pay",
        principal=principal,
        args={"a": argument},
        resource_attributes={"b": attribute},
        provenance={"a": origins},
    )
    erred = [
        bool(bundle([rule("r", when=when)]).decide(request).errors) for when in ("tool == 'pay'", "double(1) > 0.0")
    ]
    assert readable(request) == {(True, True): "no", (False, True): "nan", (False, False): "yes"}[erred[0], erred[1]]
