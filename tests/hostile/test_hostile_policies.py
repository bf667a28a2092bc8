"""Policies and requests made to hurt: nothing hangs, nothing crashes, nothing opens."""

import math
import time
from typing import Any

import pytest
from policy_texts import as_yaml, bundle, call, rule

from backstay.errors import UsageError
from backstay.policy import PolicyBundle, Request, parse_policy

pytestmark = pytest.mark.hostile

BOMB = "policy: 1\nrules: []\na: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "line 3: anchors and aliases are not read"),
        ("policy: 1\nrules: " + "[" * 5000 + "]" * 5000, "nested deeper than"),
        ("policy: 1\nrules: " + "{a: " * 3000 + "1" + "}" * 3000, "nested deeper than"),
        ("policy: 1\nrules: []\nrules: []\n", "line 3: the key 'rules' stands here twice"),
        ("policy: 1\nrules: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
        ("policy: 1\nrules: []\n1: 2\n", "a key must be text, not '1'"),
        ("policy: 1\nrules: []\n<<: {policy: 2}\n", "a key must be text, not '<<'"),
        ("policy: 1\0\nrules: []\n", "is no YAML"),
        ("policy: 1\nrules: []\n---\npolicy: 1\n", "but found another document"),
        ("x" * 1_000_001, "at most 1000000 are read"),
        ("policy: 1\nrules: [\n", "line 3"),
        ("", "is no mapping"),
    ],
)
def test_files_made_to_hurt_are_refused_at_once(text: str, message: str) -> None:
    started = time.thread_time()
    with pytest.raises(UsageError, match=message):
        parse_policy(text, "bomb.yaml")
    assert time.thread_time() - started < 5


@pytest.mark.parametrize(
    "when",
    [
        "(" * 2000 + "true" + ")" * 2000,
        "[" * 2000 + "]" * 2000 + " == []",
        "args" + ".a" * 2000 + " == 1",
        "1" + "+1" * 2000 + " > 0",
        "true ? " * 500 + "true" + " : false" * 500,
        "{" * 1000 + "}" * 1000 + " == {}",
        "tool == 'x' \u0000",
        "\u202etrue",
    ],
)
def test_conditions_made_to_hurt_are_refused(when: str) -> None:
    with pytest.raises(UsageError, match=r"rule r"):
        PolicyBundle.compile([("x.yaml", parse_policy(as_yaml([rule("r", "forbid", when)]), "x.yaml"))])


@pytest.mark.parametrize("when", ["!" * 4000 + "true", "true" + " && true" * 500, "-" * 3998 + "1 == 1"])
def test_long_conditions_that_compile_also_run(when: str) -> None:
    assert bundle([rule("r", "forbid", when)]).decide(call()).effect == "deny"


def guarded(when: str) -> PolicyBundle:
    return bundle([rule("open", "permit"), rule("r", "forbid", when)])


def test_loops_over_hostile_arguments_end_and_forbid() -> None:
    policy = guarded("args.l.all(a, args.l.all(b, args.l.all(c, c < 0))) && false || args.l.exists(a, a < 0)")
    started = time.thread_time()
    assert policy.decide(call(args={"l": list(range(100_000))})).effect == "deny"
    assert time.thread_time() - started < 2


def test_patterns_and_texts_made_for_backtracking_take_linear_time() -> None:
    policy = guarded("args.text.matches('^(([a-z])+.)+[A-Z]([a-z])+$') || args.text.matches('(a|a|aa)+$')")
    started = time.thread_time()
    assert policy.decide(call(args={"text": "a" * 200_000 + "!"})).effect == "allow"
    assert time.thread_time() - started < 2


def test_a_pattern_out_of_the_request_cannot_hang_either() -> None:
    policy = guarded("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.matches(args.pattern)")
    for pattern in ("(a+)+$", "(a{0,900}){0,1}(a{0,900}){0,1}$", "(a|aa)*b"):
        assert policy.decide(call(args={"pattern": pattern})).effect in ("allow", "deny")
    for broken in ("(", "(?=a)", "(a{1000}){1000}"):
        assert policy.decide(call(args={"pattern": broken})).effect == "deny"


@pytest.mark.parametrize("text", ["nan", "NaN", "-nan", "+NAN", " nan ", "nan(1)"])
def test_text_that_reads_as_nan_compares_with_nothing_and_is_held(text: str) -> None:
    policy = bundle([rule("open", "permit"), rule("large", "forbid", "double(args.amount) > 50.0")])
    assert policy.decide(call(args={"amount": "40"})).effect == "allow"
    assert policy.decide(call(args={"amount": "60"})).effect == "deny"
    assert policy.decide(call(args={"amount": text})).effect == "deny"
    assert policy.decide(call(args={"amount": 1, "name": "Nancy"})).effect == "allow"


def nested(depth: int) -> dict[str, Any]:
    outer: dict[str, Any] = {}
    inner = outer
    for _ in range(depth):
        inner["a"] = {}
        inner = inner["a"]
    return outer


def endless() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["a"] = loop
    return loop


@pytest.mark.parametrize(
    "args",
    [
        {"amount": 1, "x": nested(100_000)},
        {"amount": 1, "x": endless()},
        {"amount": 1, "x": "a\0b"},
        {"amount": 1, "x\0": 1},
        {"amount": 1, "x": "\ud800"},
        {"amount": 1, "x": 2**70},
        {"amount": math.nan},
        {"amount": math.inf},
        {"amount": 1, "x": object()},
        {"amount": 1, 5: "x"},
        {"amount": "1"},
        {"amount": None},
        {"amount": [1]},
        {},
        None,
        "amount",
    ],
    ids=lambda args: "args",
)
def test_arguments_that_cannot_be_read_meet_every_rule(args: Any) -> None:
    policy = bundle([rule("small", "permit", "args.amount < 5"), rule("large", "forbid", "args.amount > 5")])
    decision = policy.decide(Request(point="model.tool_call", tool="pay", args=args, findings={}, provenance={}))
    assert decision.effect == "deny"
    assert decision.rules == ("large",)
    assert [error.rule for error in decision.errors] == ["large"]


@pytest.mark.parametrize(
    "fields",
    [
        {"principal": "admin\0x"},
        {"roles": ("lead\0",)},
        {"roles": "lead"},
        {"roles": None},
        {"resource": "a\0"},
        {"principal": None},
        {"findings": {"secret": "0"}},
        {"findings": {"secret": 0.5}},
        {"provenance": {"amount": None}},
        {"counters": {"n": "0"}},
    ],
    ids=str,
)
def test_nothing_else_of_a_request_opens_by_being_odd(fields: dict[str, Any]) -> None:
    policy = bundle(
        [
            rule("open", "permit"),
            rule("r", "forbid", "principal.id == 'x' || 'y' in principal.roles || resource.id == 'z'"
                 " || findings.secret > 0 || 'tool' in provenance.amount || counter.n > 1"),
        ],
        counters={"n": {"count": True}},
    )  # fmt: skip
    assert policy.decide(call(counters={"n": 0})).effect == "allow"
    assert policy.decide(call(**{"counters": {"n": 0}, **fields})).effect == "deny"


@pytest.mark.parametrize(
    "tool", ["p\u0430y", "pay\u200b", "pay\0", "pay ", "\u202eyap", "p\uff41y", "", "pay\n", None, 5, ["pay"]]
)
def test_a_tool_that_looks_like_another_is_denied_even_where_all_tools_are_permitted(tool: Any) -> None:
    policy = bundle([rule("open", "permit", tool="*"), rule("no-pay", "forbid", tool="pay")])
    assert policy.decide(call("read")).effect == "allow"
    decision = policy.decide(call(tool))
    assert decision.effect == "deny"
    assert decision.rules == ()


def test_many_rules_on_one_tool_stay_within_milliseconds() -> None:
    rules = [rule(f"r{i}", "forbid", f"args.amount > {1000 + i}") for i in range(500)]
    policy = bundle([rule("open", "permit"), *rules])
    policy.decide(call())
    started = time.thread_time()
    assert policy.decide(call()).effect == "allow"
    assert time.thread_time() - started < 0.05


def test_a_file_of_this_form_is_read() -> None:
    assert parse_policy(as_yaml([rule("r", "permit")]), "x").rules[0].id == "r"
