"""Decisions on requests of which a part is not known: every effect that is still possible, and never a guess."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from backstay.policy.cel import ConditionError
from backstay.policy.engine import CompiledRule, PolicyBundle, refused_name
from backstay.policy.obligations import Route
from backstay.policy.request import Decision, Request
from backstay.policy.rules import Outcome

State = Literal["yes", "no", "error"]
_ANY: frozenset[State] = frozenset({"yes", "no", "error"})
_ERROR: frozenset[State] = frozenset({"error"})
_WORD = re.compile(r"[A-Za-z_]\w*")
_UNREADABLE = "whether the contents, which are not recorded, could be read"
_FORBIDDING: dict[str, frozenset[State]] = {
    "forbid": frozenset({"yes", "error"}),
    "hold": frozenset({"yes", "error"}),
    "permit": frozenset({"yes"}),
}


class Partial(NamedTuple):
    """What may have been decided."""

    effects: frozenset[Outcome]
    """Every effect that some value of what is missing gives, and perhaps more; one means that it is certain."""
    rules: tuple[str, ...]
    """Where the effect is certain, rules that surely decided it; there may be more."""
    reasons: tuple[str, ...]
    """What is missing; empty where nothing that matters is."""
    decision: Decision | None
    """The whole decision, where nothing that matters is missing."""


class PartialDecider:
    """Decides with one policy. What a condition reads is found by its words, so it may read less than that."""

    def __init__(self, bundle: PolicyBundle) -> None:
        self.bundle = bundle
        self._words = {c.rule.id: frozenset(_WORD.findall(c.rule.when or "")) for c in bundle.rules}
        self._touched = lru_cache(maxsize=4096)(self._find_touched)

    def decide(self, request: Request, missing: Mapping[str, str], *, errs: bool | None = False) -> Partial:
        """Decide on a request.

        `missing` says for `args`, `text`, `attributes`, `provenance` and names of counters why they are not known; in
        the request stands any fit value. `errs` tells whether the request as it was made every condition err, None when
        that is not known.
        """
        touched = self._touched(request.point, request.action, request.tool, frozenset(missing))
        bucket = self.bundle.fitting(request)
        if (not touched and errs is False) or not bucket.conditional or refused_name(request):
            decision = self.bundle.decide(request)
            return Partial(frozenset({decision.effect}), decision.rules, (), decision)
        bound = self.bundle.bind(request)
        groups = [
            [(c, self._states(c, bound, touched, errs)) for c in group]
            for group in (bucket.forbids, bucket.holds, bucket.permits)
        ]
        effects = self._effects(request.point, *groups)
        reasons = [] if errs else [missing[name] for name in touched]
        certain = groups[{"deny": 0, "hold": 1, "allow": 2}[next(iter(effects))]] if len(effects) == 1 else []
        rules = tuple(c.rule.id for c, states in certain if states <= _FORBIDDING[c.rule.effect])
        return Partial(effects, rules, (*sorted(set(reasons)), *([_UNREADABLE] if errs is None else [])), None)

    def _find_touched(self, point: str, action: str, tool: str, missing: frozenset[str]) -> tuple[str, ...]:
        """What is missing and stands in a condition that could decide here."""
        bucket = self.bundle.fitting(Request(point=point, action=action, tool=tool))
        enforced = (*bucket.forbids, *bucket.holds, *bucket.permits)
        return tuple(sorted({name for c in enforced for name in missing & self._words[c.rule.id]}))

    def _states(
        self, compiled: CompiledRule, bound: object, touched: Sequence[str], errs: bool | None
    ) -> frozenset[State]:
        if compiled.condition is None:
            return frozenset({"yes"})
        if errs:
            return _ERROR
        if self._words[compiled.rule.id].intersection(touched):
            return _ANY
        found = frozenset({_state(compiled, bound)})
        return found | _ERROR if errs is None else found

    def _effects(self, point: str, *groups: Sequence[tuple[CompiledRule, frozenset[State]]]) -> frozenset[Outcome]:
        effects: set[Outcome] = set()
        outcomes: tuple[Outcome, ...] = ("deny", "hold", "allow")
        for outcome, group in zip(outcomes, groups, strict=True):
            acting = [
                states <= _FORBIDDING[c.rule.effect] for c, states in group if states & _FORBIDDING[c.rule.effect]
            ]
            if acting:
                effects.add(outcome)
            if any(acting):
                break
        else:
            effects.add(self.bundle.defaults.get(point, "deny"))
        beside = (*groups[1], *groups[2])
        if len(_routes(c for c, states in beside if "no" not in states)) > 1:
            return frozenset({"deny"})
        if len(_routes(c for c, states in beside if states != {"no"})) > 1:
            effects.add("deny")
        return frozenset(effects)


def _state(compiled: CompiledRule, bound: object) -> State:
    if isinstance(bound, ConditionError):
        return "error"
    try:
        return "yes" if compiled.condition is None or compiled.condition(bound) else "no"
    except ConditionError:
        return "error"


def _routes(rules: Iterable[CompiledRule]) -> set[str]:
    """The models that rules route to; when rules that count name two, that is a denial."""
    return {o.model for compiled in rules for o in compiled.rule.obligations if isinstance(o, Route)}
