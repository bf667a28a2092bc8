"""What the gateway hands over when an exchange has ended, and to whom."""

import logging
import time
from collections.abc import Mapping

from prometheus_client import Counter

from backstay.guard.enforcer import Ruling
from backstay.guard.gateway.context import Context
from backstay.guard.gateway.metrics import Metrics
from backstay.guard.gateway.outcome import Outcome
from backstay.guard.gateway.settings import GuardSettings
from backstay.guard.harvest import (
    HarvestSettings,
    HarvestStore,
    Keeper,
    KeptDecision,
    KeptExchange,
    Redactor,
    Turn,
    reasons,
)
from backstay.guard.ledger import Ledger
from backstay.policy.points import glob_matches
from backstay.policy.rules import Outcome as Effect
from backstay.scan import Canary

ENDED_WELL = ("ok", "denied")
"""Ends after which something was said or denied; nothing is kept of an exchange that broke off."""
OUTCOMES: Mapping[str, Effect] = {"allow": "allow", "hold": "hold"}
_log = logging.getLogger("backstay.guard")


class Harvester:
    """Chooses what is kept, and hands it to the keeper's thread."""

    def __init__(self, settings: HarvestSettings, keeper: Keeper) -> None:
        self.settings, self.keeper = settings, keeper

    @property
    def takes_thumbs(self) -> bool:
        """Whether clients can say what they think of an exchange."""
        return "thumbed" in self.settings.keep

    def ended(self, context: Context, outcome: Outcome) -> None:
        """An exchange has ended; never raises and never waits."""
        try:
            found = self._chosen(context, outcome)
            if found is not None:
                self.keeper.offer(found)
        except Exception as error:  # noqa: BLE001  the answer is out; whatever fails here concerns the harvest alone
            _log.error("an exchange could not be looked at for the harvest: %s", type(error).__name__)

    def close(self) -> None:
        """Keep what waits, and stop."""
        self.keeper.close()

    def _chosen(self, context: Context, outcome: Outcome) -> KeptExchange | None:
        exchange = context.exchange
        if outcome.status not in ENDED_WELL or not context.rulings:
            return None
        if not any(glob_matches(pattern, exchange.principal) for pattern in self.settings.principals):
            return None
        effect = OUTCOMES.get(outcome.effect, "deny")
        effects = [ruling.decision.effect for ruling in context.rulings]
        why = reasons(self.settings.keep, self.settings.sample, exchange.id, effect, effects)
        if not why and not self.takes_thumbs:
            return None
        slots = [slot for slot in context.request.slots if self.settings.system or slot.role != "system"]
        return KeptExchange(
            exchange=exchange.id,
            principal=exchange.principal,
            at_ms=self.keeper.now_ms(),
            api=context.request.api,
            model=context.request.model,
            effect=effect,
            why=why,
            turns=tuple(Turn(role=slot.role, text=slot.text, tool=slot.tool) for slot in slots),
            decisions=tuple(kept_decision(ruling) for ruling in context.rulings),
        )


def kept_decision(ruling: Ruling) -> KeptDecision:
    """A ruling with what it was made on, before any redaction."""
    request, decision = ruling.request, ruling.decision
    provenance, call = request.provenance, request.call
    return KeptDecision(
        id=ruling.id,
        point=request.point,
        effect=decision.effect,
        rules=decision.rules,
        policy=decision.policy,
        action=request.action,
        tool=request.tool,
        roles=tuple(request.roles),
        resource=request.resource,
        text=request.text,
        args=dict(request.args),
        findings=None if request.findings is None else dict(request.findings),
        provenance=None if provenance is None else {name: tuple(origins) for name, origins in provenance.items()},
        call=None if call is None else {k: v if isinstance(v, str) else tuple(v) for k, v in call.items()},
        counters=dict(request.counters),
    )


def harvester_of(
    settings: GuardSettings, ledger: Ledger, canaries: tuple[Canary, ...], metrics: Metrics
) -> Harvester | None:
    """The harvest that settings ask for; None where nothing is kept, and what was kept before goes on expiring."""
    harvest = settings.harvest
    store = HarvestStore(ledger, keep_days=harvest.keep_days, thumb_hours=harvest.thumb_hours)
    if not harvest.on:
        store.expire(time.time_ns() // 1_000_000)
        return None
    counter = Counter("backstay_harvest", "Exchanges offered to the harvest.", ("result",), registry=metrics.registry)
    keeper = Keeper(
        store,
        Redactor(settings.scan, harvest.redact, canaries),
        max_characters=harvest.max_characters,
        count=lambda result: counter.labels(result).inc(),
    )
    return Harvester(harvest, keeper)
