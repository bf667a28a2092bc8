"""Decisions and ends of exchanges, into the ledger and into the figures."""

import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from time import monotonic
from typing import Any

from backstay.errors import BackstayError
from backstay.guard.audit import AuditLog
from backstay.guard.enforcer import Exchange
from backstay.guard.gateway.metrics import Metrics
from backstay.guard.gateway.outcome import Outcome
from backstay.guard.gateway.tracing import note_decision
from backstay.policy import Decision, Request

_log = logging.getLogger("backstay.guard")


class Recorder:
    """Writes what the gateway decides and how its exchanges end."""

    def __init__(self, audit: AuditLog, metrics: Metrics) -> None:
        self._audit, self._metrics = audit, metrics
        self.unwritten: Counter[str] = Counter()
        """Ends of exchanges that could not be written, by kind of error: the exchanges were over."""

    def decision(
        self, exchange: Exchange, ruling_id: str, request: Request, decision: Decision, cost_us: int
    ) -> "Future[int]":
        """Write a decision; raises ResourceError where the ledger takes no more."""
        note_decision(request.point, decision.effect, decision.policy)
        self._metrics.decided(request.point, decision.effect, request.findings or {})
        return self._audit.decision(
            request,
            decision,
            exchange=exchange.id,
            session=exchange.session,
            cost_us=cost_us,
            decision_id=ruling_id,
        )

    def counted(self, exchange: Exchange, ruling_id: str, amounts: Mapping[str, Any]) -> "Future[int]":
        """Write that what was decided is carried out."""
        return self._audit.outcome(
            ruling_id, exchange=exchange.id, session=exchange.session, status="released", counted=amounts
        )

    def outcome(self, exchange: Exchange, outcome: Outcome) -> None:
        """Write the end of an exchange."""
        seconds = monotonic() - outcome.began
        self._metrics.ended(outcome.api, outcome.status, outcome.effect, seconds, outcome.tokens)
        detail = {
            "api": outcome.api,
            "model": outcome.model,
            "effect": outcome.effect,
            "tokens": outcome.tokens,
            "ms": int(seconds * 1000),
            "principal": exchange.principal,
        }
        try:
            written = self._audit.outcome(
                "", exchange=exchange.id, session=exchange.session, status=outcome.status, detail=detail
            )
            written.add_done_callback(self._check)
        except BackstayError as error:
            self._missed(error)

    def _check(self, written: "Future[int]") -> None:
        error = None if written.cancelled() else written.exception()
        if error is not None:
            self._missed(error)

    def _missed(self, error: BaseException) -> None:
        self.unwritten[type(error).__name__] += 1
        _log.error("the end of an exchange could not be written: %s", error)
