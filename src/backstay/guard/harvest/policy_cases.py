"""Tests of policies out of decisions: what was decided on production traffic, as cases that stand beside rules."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import yaml

from backstay.guard.harvest.kept_exchange import CALL_POINT, KeptDecision, KeptRow
from backstay.policy import PolicyBundle
from backstay.policy.cases import request_of
from backstay.policy.rules import Case, Match, Rule
from backstay.records import content_hash
from backstay.records.production import LABEL

UNRULED = "default"
"""Where a decision is noted that no rule made."""
PER_RULE = 50
HEAD = f"""# {LABEL}. Put a rule's cases under its `tests:`; those of `{UNRULED}` were decided by no rule.
# Texts and arguments are redacted: a rule that reads what was replaced decides otherwise. Disputed cases are left out.
"""


class PolicyCases(NamedTuple):
    """Cases by rule, and how many were left out.

    `over` the bound of a rule, `changed` in the given policy, `unclean` with something in them that must not leave.
    """

    by_rule: dict[str, list[dict[str, Any]]]
    over: int
    changed: int
    unclean: int

    @property
    def total(self) -> int:
        """How many cases."""
        return sum(len(found) for found in self.by_rule.values())

    def text(self) -> str:
        """As YAML."""
        return HEAD + yaml.safe_dump({"tests": self.by_rule}, sort_keys=True, allow_unicode=False, width=110)


def policy_cases(
    rows: Iterable[KeptRow], bundle: PolicyBundle | None = None, clean: Callable[[Any], bool] = lambda _: True
) -> PolicyCases:
    """Distinct cases that are `clean`; with a policy only those that it decides as they were decided."""
    by_rule: dict[str, list[dict[str, Any]]] = {}
    seen: set[str] = set()
    over = changed = unclean = 0
    for row in rows:
        for one in row.kept.decisions:
            case = case_of(row, one)
            mark = content_hash([one.rules, case["request"], case["expect"]])
            if mark in seen or disputed(row, one):
                continue
            seen.add(mark)
            found = by_rule.setdefault(one.rules[0] if one.rules else UNRULED, [])
            if not clean(case["request"]):
                unclean += 1
            elif bundle is not None and not holds(case, bundle):
                changed += 1
            elif len(found) >= PER_RULE:
                over += 1
            else:
                found.append(case)
    return PolicyCases({rule: found for rule, found in by_rule.items() if found}, over, changed, unclean)


def disputed(row: KeptRow, one: KeptDecision) -> bool:
    """Whether a person or a client said that the decision was wrong."""
    if one.effect == "hold":
        return row.verdict == "approved"
    scores = [thumb.score for thumb in row.latest]
    return one.effect == "deny" and -1 in scores


def case_of(row: KeptRow, one: KeptDecision) -> dict[str, Any]:
    """A decision as a case; attributes of principal and resource are not kept, nor counters that were unknown."""
    request: dict[str, Any] = {"point": one.point, "findings": one.findings}
    given: Sequence[tuple[str, Any]] = (
        ("action", one.action),
        ("tool", one.tool),
        ("text", one.text),
        ("args", one.args),
        ("principal", {"roles": list(one.roles)} if one.roles else {}),
        ("resource", {"id": one.resource} if one.resource else {}),
        ("counters", {name: value for name, value in one.counters.items() if value is not None}),
    )
    request |= {name: value for name, value in given if value}
    if one.provenance:
        request["provenance"] = {name: list(origins) for name, origins in one.provenance.items()}
    if one.point == CALL_POINT:
        call = one.call
        request["call"] = call and {name: v if isinstance(v, str) else list(v) for name, v in call.items()}
    return {"name": f"production {row.kept.exchange} {one.id}", "request": request, "expect": one.effect}


def holds(case: dict[str, Any], bundle: PolicyBundle) -> bool:
    """Whether a policy decides a case as expected."""
    read = Case.model_validate(case)
    rule = Rule(id="case", effect="permit", match=Match(point=(case["request"]["point"],)), reason="a case of its own")
    return bundle.decide(request_of(rule, read, bundle)).effect == read.expect
