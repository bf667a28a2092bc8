"""What is asked of a policy, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from backstay.policy.obligations import Obligation
from backstay.policy.rules import Effect, Outcome


@dataclass(slots=True, kw_only=True)
class Request:
    """One request for a decision.

    `findings` is None when no scan ran, `provenance` None when origins are unknown, `call` None when nobody looked at
    the roles of its arguments (`guard.facts_of`): conditions about them then err, which forbids. `counters` come from
    `history.SessionHistory.values()`; a value of None means unknown.
    """

    point: str
    action: str = ""
    tool: str = ""
    principal: str = ""
    roles: Sequence[str] = ()
    principal_attributes: Mapping[str, Any] = field(default_factory=dict)
    resource: str = ""
    resource_attributes: Mapping[str, Any] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    findings: Mapping[str, int] | None = None
    provenance: Mapping[str, Sequence[str]] | None = None
    call: Mapping[str, str | Sequence[str]] | None = None
    counters: Mapping[str, float | None] = field(default_factory=dict)


class RuleError(NamedTuple):
    """A rule whose condition gave no answer."""

    rule: str
    message: str


class ShadowResult(NamedTuple):
    """What a rule in shadow mode would have done; it did nothing."""

    rule: str
    effect: Effect
    applied: bool
    error: str = ""


class Decision(NamedTuple):
    """The answer, and all that is needed to explain it."""

    effect: Outcome
    rules: tuple[str, ...]
    """Ids of the rules that decided, sorted; empty when the default decided."""
    obligations: tuple[Obligation, ...]
    reasons: tuple[str, ...]
    errors: tuple[RuleError, ...]
    policy: str
    """SHA-256 of the policy that decided."""
    shadow: tuple[ShadowResult, ...] = ()
    shadow_effect: Outcome | None = None
    """The effect if rules in shadow mode were enforced; None where there are none."""
