from pathlib import Path
from typing import Any

import pytest
from policy_texts import as_yaml, bundle, rule

from backstay.errors import UsageError
from backstay.policy import parse_policy, read_policy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"efect": "permit"},
            r"rule r: unknown key 'efect'|rule r, efect: unknown key 'efect'; nearest known key: effect",
        ),
        ({"effect": "allow"}, r"rule r, effect: .*'permit', 'forbid' or 'hold'"),
        ({"when": True}, r"rule r, when: .*not True \(quote a condition"),
        ({"version": "1"}, r"rule r, version: .*integer, not '1'"),
        ({"match": {"point": "model.tools"}}, r"rule r, match.point.*model.tool_call"),
        ({"match": {"point": "model.tool_call", "tool": "p[ab]y"}}, r"'p\[ab\]y' is no pattern"),
        ({"match": {"point": "model.tool_call", "tool": "p\u0430y"}}, r"is no pattern: ASCII"),
        (
            {"obligations": [{"redcat": {"kinds": ["x"]}}]},
            r"rule r, obligations.0: unknown obligation 'redcat'; nearest: redact",
        ),
        ({"obligations": [{"redact": {"kinds": "x"}}]}, r"rule r, obligations.0"),
        ({"obligations": [{"redact": {"kind": ["x"]}}]}, r"unknown key 'kind'; nearest known key: kinds"),
        ({"obligations": ["redact"]}, r"an obligation is one name with its settings, not 'redact'"),
        ({"obligations": [{"require_approval": {"k": 1, "of": ["a"]}}]}, r"require_approval belongs to effect: hold"),
        ({"effect": "hold"}, r"a hold says who may approve"),
        ({"id": "Not An Id"}, r"rule Not An Id, id: "),
        ({"reason": ""}, r"rule r, reason: "),
        ({"when": "true\x07"}, r"not allowed|control characters"),
        ({"when": "x" * 5000}, r"at most 4096 characters"),
        (
            {"tests": [{"request": {"tol": "x"}, "expect": "deny"}]},
            r"tests.0.request.tol: unknown key 'tol'; nearest known key: tool",
        ),
        ({"tests": [{"request": {}, "expect": "permit"}]}, r"tests.0.expect: .*'allow', 'deny' or 'hold'"),
    ],
)
def test_a_wrong_file_is_refused_with_file_rule_and_cure(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_policy(as_yaml([{**rule("r", "permit"), **change}]), "file.yaml")
    assert caught.value.message.startswith("file.yaml")
    assert caught.value.cure


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (
            "principal.rol == 'x'",
            r"undeclared reference to 'principal.rol' at line 1, column 10; nearest known: principal.role",
        ),
        ("tool > 1", r"no matching overload for '_>_' applied to '\(string, int\)'"),
        ("args.amount", r"a condition must be true or false, this one is DYN; compare it"),
        ("counter.spent > 1.0", r"undeclared reference to 'counter.spent'"),
        ("tool ==", r"Syntax error"),
        ("tool.matches('(')", r"'\('\W is no regular expression of RE2|is no regular expression of RE2"),
        ("tool.matches('(?=a)')", r"is no regular expression of RE2"),
        ("matches(tool, '[')", r"is no regular expression of RE2"),
        ("findings.secret > 0.5 + 'a'", r"no matching overload"),
        ("provenance.to == 'tool'", r"no matching overload"),
    ],
)
def test_a_condition_with_an_unknown_name_or_a_wrong_type_is_refused_at_load(when: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        bundle([rule("r", "forbid", when)])
    assert caught.value.message.startswith("test.yaml: rule r, when: ")
    assert caught.value.cure


def test_a_regular_expression_inside_other_text_is_no_pattern() -> None:
    bundle([rule("r", "forbid", "text == \"matches('(')\"")])


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"counters": {"n": {"sum": "amount"}}}, "sum: 'amount' is no argument; for example args.amount"),
        ({"counters": {"n": {}}}, "either count: true or sum"),
        ({"counters": {"n": {"count": True, "sum": "args.a"}}}, "either count: true or sum"),
        ({"counters": {"N": {"count": True}}}, "counters"),
        ({"counters": {"n": {"count": True, "within": 5}}}, "unknown key 'within'; nearest known key: within_s"),
        ({"default": {"model.output": "hold"}}, "'allow' or 'deny'"),
        ({"defaults": {}}, "unknown key 'defaults'; nearest known key: default"),
    ],
)
def test_a_wrong_head_is_refused(head: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_policy(as_yaml([], **head), "file.yaml")


def test_ids_stand_once() -> None:
    with pytest.raises(UsageError, match=r"test.yaml: rule a stands there twice"):
        bundle([rule("a", "permit"), rule("a", "forbid")])


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.yaml does not exist"):
        read_policy(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"policy: 1\nrules: [] # \xff\n")
    with pytest.raises(UsageError, match=r"latin.yaml is not UTF-8"):
        read_policy(tmp_path / "latin.yaml")
    with pytest.raises(UsageError, match="list.yaml is no mapping"):
        parse_policy("[1]", "list.yaml")
