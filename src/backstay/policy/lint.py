"""What is legal in a policy and still surely not meant, or not tested."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal, NamedTuple

from backstay.policy.engine import PolicyBundle
from backstay.policy.points import TOOL_POINT, glob_covers
from backstay.policy.rules import Rule

Level = Literal["error", "warning"]
_TEXT_POINTS = frozenset({"request.input", "request.tools", "model.output", "response.final", "feedback"})


class Lint(NamedTuple):
    """One remark about one rule, or about the whole policy (rule empty)."""

    level: Level
    rule: str
    check: str
    message: str


def lint(bundle: PolicyBundle) -> tuple[Lint, ...]:
    """All remarks, errors first, then by rule."""
    rules = [compiled.rule for compiled in bundle.rules]
    found = [remark for rule in rules for remark in _one(rule, bundle)]
    found += [*_pairs(rules), *_policy(bundle)]
    return tuple(sorted(found, key=lambda remark: (remark.level != "error", remark.rule, remark.check)))


def _one(rule: Rule, bundle: PolicyBundle) -> Iterable[Lint]:
    points = set(rule.match.point)
    if "*" not in rule.match.tool and points <= _TEXT_POINTS:
        yield Lint(
            "error", rule.id, "matches-nothing", f"names tools, but no tool is known at {', '.join(sorted(points))}"
        )
    if rule.effect == "permit" and rule.when is None and TOOL_POINT in points and rule.mode == "enforce":
        broad = " of any tool" if "*" in rule.match.tool else ""
        yield Lint(
            "error", rule.id, "permit-without-condition", f"permits every tool call{broad} that it matches; add when:"
        )
    if rule.when is not None and rule.when.strip() in ("true", "false"):
        yield Lint("error", rule.id, "constant-condition", f"its condition is always {rule.when.strip()}")
    if rule.effect == "permit" and not rule.obligations and all(bundle.defaults[p] == "allow" for p in points):
        yield Lint(
            "warning", rule.id, "permit-changes-nothing", "permits what is allowed by default, and asks for nothing"
        )
    if not rule.tests:
        yield Lint("warning", rule.id, "no-tests", "has no tests")
    elif not any(_concerns(rule, case.expect) for case in rule.tests):
        yield Lint("warning", rule.id, "never-fires-in-tests", f"no test of it expects {_effect(rule)}")


def _effect(rule: Rule) -> str:
    return {"permit": "allow", "forbid": "deny", "hold": "hold"}[rule.effect]


def _concerns(rule: Rule, expect: str) -> bool:
    return rule.mode == "shadow" or expect == _effect(rule)


def _pairs(rules: list[Rule]) -> Iterable[Lint]:
    enforced = [rule for rule in rules if rule.mode == "enforce"]
    for rule in enforced:
        blocks = next((o for o in enforced if o is not rule and _shadows(o, rule)), None)
        if blocks is not None:
            yield Lint(
                "error",
                rule.id,
                "unreachable",
                f"{blocks.id} {blocks.effect}s, without a condition, all that it matches",
            )
    written: dict[tuple[str, str], list[Rule]] = defaultdict(list)
    for rule in enforced:
        if rule.when is not None:
            written[rule.effect, "".join(rule.when.split())].append(rule)
    for twins in written.values():
        yield from _twins(twins)


def _shadows(wider: Rule, rule: Rule) -> bool:
    stronger = {"forbid": 2, "hold": 1, "permit": 0}
    return (
        wider.when is None
        and wider.effect == "forbid"
        and stronger[wider.effect] > stronger[rule.effect]
        and set(rule.match.point) <= set(wider.match.point)
        and _covered(wider.match.action, rule.match.action)
        and _covered(wider.match.tool, rule.match.tool)
    )


def _covered(wider: tuple[str, ...], narrower: tuple[str, ...]) -> bool:
    return all(any(glob_covers(w, n) for w in wider) for n in narrower)


def _twins(twins: list[Rule]) -> Iterable[Lint]:
    for i, rule in enumerate(twins):
        for earlier in twins[:i]:
            same_place = set(rule.match.point) & set(earlier.match.point) and (
                _covered(earlier.match.tool, rule.match.tool) or _covered(rule.match.tool, earlier.match.tool)
            )
            if same_place:
                yield Lint(
                    "warning", rule.id, "duplicate-condition", f"has the condition of {earlier.id}, on the same tools"
                )
                break


def _policy(bundle: PolicyBundle) -> Iterable[Lint]:
    if bundle.defaults[TOOL_POINT] == "allow":
        yield Lint(
            "error", "", "tools-allowed-by-default", f"default {TOOL_POINT}: allow lets through what no rule names"
        )
    text = "\n".join(compiled.rule.when or "" for compiled in bundle.rules)
    for name in bundle.counters:
        if f"counter.{name}" not in text:
            yield Lint("warning", "", "unused-counter", f"no rule reads counter.{name}")
