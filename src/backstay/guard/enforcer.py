"""One decision of the guard: request, scan, policy, journal; and what was done counts for the decisions after it."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any, Literal, NamedTuple, Protocol

from backstay.guard.findings import counted, unscanned
from backstay.policy import Decision, Histories, PolicyBundle, Request
from backstay.policy.history import counted_values
from backstay.policy.points import TOOL_POINT
from backstay.records import Finding, uuid7

UNSCANNED = "guard:not-scanned"
"""Stands as the rule where a text was denied because a scanner did not finish."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request of a client, from its arrival to the end of its answer."""

    id: str
    principal: str
    session: str
    roles: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    resource: str = ""
    owner: str = ""
    bundle: PolicyBundle | None = None
    """The policy that it began with, which decides on its texts to its end; on tool calls the one in force decides."""


class Ruling(NamedTuple):
    """A decision that was made, with what it was made on; `written` resolves when it is on disk."""

    id: str
    request: Request
    decision: Decision
    findings: tuple[Finding, ...]
    written: "Future[int]"

    @property
    def why(self) -> str:
        """The reasons in one line, for people."""
        return "; ".join(self.decision.reasons) or "no reason is given"


class DecisionLog(Protocol):
    """Where decisions are written; see `guard.audit`. Raises ResourceError where the ledger takes no more."""

    def decision(
        self, exchange: Exchange, ruling_id: str, request: Request, decision: Decision, cost_us: int
    ) -> "Future[int]":
        """Write a decision."""

    def counted(self, exchange: Exchange, ruling_id: str, amounts: Mapping[str, Any]) -> "Future[int]":
        """Write that what was decided is carried out, and what counters add for it."""


class PolicyInForce(Protocol):
    """The policy in force."""

    @property
    def bundle(self) -> PolicyBundle:
        """The policy now."""


class Enforcer:
    """Decides at every point by the policy in force; a decision happens without a pause, so that none races another."""

    def __init__(
        self,
        live: PolicyInForce,
        histories: Histories,
        log: DecisionLog,
        *,
        on_unscanned: Literal["deny", "rules"] = "deny",
        new_id: Callable[[], str] = uuid7,
    ) -> None:
        self._live, self._histories, self._log = live, histories, log
        self._on_unscanned, self._new_id = on_unscanned, new_id

    @property
    def bundle(self) -> PolicyBundle:
        """The policy in force now."""
        return self._live.bundle

    def counters(self, exchange: Exchange) -> dict[str, float | None]:
        """What the exchange's session has done so far."""
        return self._histories.of(exchange.session).values(self.bundle_for(exchange, "model.output").counters)

    def bundle_for(self, exchange: Exchange, point: str) -> PolicyBundle:
        """The policy that decides on an exchange at a point."""
        return self._live.bundle if exchange.bundle is None or point == TOOL_POINT else exchange.bundle

    def rule(
        self,
        exchange: Exchange,
        point: str,
        *,
        text: str = "",
        findings: Sequence[Finding] = (),
        tool: str = "",
        action: str = "",
        args: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Sequence[str]] | None = None,
        call: Mapping[str, str | Sequence[str]] | None = None,
        ahead: Sequence[Request] = (),
    ) -> Ruling:
        """Decide, and hand the decision to the journal; raises ResourceError where it cannot be written.

        Requests `ahead` were allowed in the same answer: counters are read as if they had been done already.
        """
        began = perf_counter_ns()
        bundle = self.bundle_for(exchange, point)
        request = Request(
            point=point,
            action=action,
            tool=tool,
            principal=exchange.principal,
            roles=exchange.roles,
            principal_attributes=exchange.attributes,
            resource=exchange.resource,
            args=args or {},
            text=text,
            findings=counted(findings),
            provenance=provenance,
            call=call,
            counters=self._histories.of(exchange.session).values(
                bundle.counters, ((first.point, first.action, first.tool, first.args) for first in ahead)
            ),
        )
        decision = self._decided(bundle, request, findings)
        ruling_id = self._new_id()
        cost_us = (perf_counter_ns() - began) // 1000
        written = self._log.decision(exchange, ruling_id, request, decision, cost_us)
        return Ruling(ruling_id, request, decision, tuple(findings), written)

    def refuse(self, exchange: Exchange, point: str, rule: str, why: str, *, tool: str = "") -> Ruling:
        """Write down that the guard itself refuses something, whatever the policy says; raises as `rule` does.

        `rule` stands where the id of a policy's rule would, and begins with `guard:`.
        """
        request = Request(
            point=point,
            tool=tool,
            principal=exchange.principal,
            roles=exchange.roles,
            principal_attributes=exchange.attributes,
            resource=exchange.resource,
        )
        decision = Decision("deny", (rule,), (), (why,), (), self._live.bundle.hash)
        ruling_id = self._new_id()
        return Ruling(ruling_id, request, decision, (), self._log.decision(exchange, ruling_id, request, decision, 0))

    def count(self, exchange: Exchange, ruling: Ruling) -> "Future[int] | None":
        """What was decided is about to be done: counters that it bears on go up, and the journal says so.

        The journal's future, None where no counter is concerned.
        """
        request = ruling.request
        history = self._histories.of(exchange.session)
        amounts = counted_values(history.declared, request.point, request.action, request.tool, request.args)
        if not amounts:
            return None
        history.record(request.point, request.action, request.tool, request.args)
        return self._log.counted(exchange, ruling.id, amounts)

    def _decided(self, bundle: PolicyBundle, request: Request, findings: Sequence[Finding]) -> Decision:
        decision = bundle.decide(request)
        if decision.effect == "deny" or self._on_unscanned == "rules" or not unscanned(findings):
            return decision
        reason = "a scanner did not finish with this text"
        return decision._replace(effect="deny", rules=(UNSCANNED,), obligations=(), reasons=(reason,))
