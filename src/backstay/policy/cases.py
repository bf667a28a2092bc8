"""The tests that stand beside rules: requests, decided by the whole policy and compared with what is expected."""

from collections.abc import Iterable
from dataclasses import dataclass

from backstay.policy.engine import PolicyBundle
from backstay.policy.obligations import Obligation, merge_obligations
from backstay.policy.points import TOOL_POINT, has_wildcard
from backstay.policy.request import Decision, Request
from backstay.policy.rules import Case, Rule


@dataclass(frozen=True)
class CaseResult:
    """One case, what was decided, and every way in which that is not what was expected."""

    rule: str
    case: str
    decision: Decision
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the decision is the expected one."""
        return not self.differences


def run_cases(bundle: PolicyBundle) -> tuple[CaseResult, ...]:
    """Decide every case of a policy."""
    return tuple(
        _run(bundle, compiled.rule, number, case)
        for compiled in bundle.rules
        for number, case in enumerate(compiled.rule.tests, start=1)
    )


def _run(bundle: PolicyBundle, rule: Rule, number: int, case: Case) -> CaseResult:
    name = case.name or f"case {number}"
    decision = bundle.decide(request_of(rule, case, bundle))
    unknown = sorted(set(case.request.counters) - set(bundle.counters))
    strange = [f"unknown counters in the request: {', '.join(unknown)}"] if unknown else []
    return CaseResult(rule.id, name, decision, (*strange, *_differences(case, decision)))


def request_of(rule: Rule, case: Case, bundle: PolicyBundle) -> Request:
    """The request of a case, with point, action and tool of the rule where the case leaves them out."""
    asked = case.request
    point = asked.point or rule.match.point[0]
    counters = {name: 0 if counter.sum is None else 0.0 for name, counter in bundle.counters.items()}
    for name, value in asked.counters.items():
        counters[name] = int(value) if isinstance(counters.get(name), int) else value
    action = _only(rule.match.action) if asked.action is None else asked.action
    return Request(
        point=point,
        action=action or ("call" if point == TOOL_POINT else ""),
        tool=_only(rule.match.tool) if asked.tool is None else asked.tool,
        principal=asked.principal.id,
        roles=asked.principal.roles,
        principal_attributes=asked.principal.attributes,
        resource=asked.resource.id,
        resource_attributes=asked.resource.attributes,
        args=asked.args,
        text=asked.text,
        findings=asked.findings,
        provenance=asked.provenance if asked.provenance is not None else {name: ["user"] for name in asked.args},
        call=None if asked.call is None else asked.call.model_dump(),
        counters=counters,
    )


def _only(globs: tuple[str, ...]) -> str:
    return globs[0] if len(globs) == 1 and not has_wildcard(globs[0]) else ""


def _differences(case: Case, decision: Decision) -> Iterable[str]:
    if decision.effect != case.expect:
        by = f" by {', '.join(decision.rules)}" if decision.rules else " by default"
        yield f"effect: expected {case.expect}, got {decision.effect}{by} ({'; '.join(decision.reasons) or 'allowed'})"
        for error in decision.errors:
            yield f"error in {error.rule}: {error.message}"
    if case.rules is not None and tuple(sorted(case.rules)) != decision.rules:
        yield f"rules: expected {_listing(sorted(case.rules))}, got {_listing(decision.rules)}"
    if case.obligations is not None:
        expected = merge_obligations(case.obligations).obligations
        yield from (f"missing obligation: {described(o)}" for o in expected if o not in decision.obligations)
        yield from (f"unexpected obligation: {described(o)}" for o in decision.obligations if o not in expected)


def _listing(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def described(obligation: Obligation) -> str:
    """An obligation in one line."""
    settings = obligation.model_dump(mode="json", exclude={"name"})
    return f"{obligation.name} {', '.join(f'{key}={value}' for key, value in settings.items())}"
