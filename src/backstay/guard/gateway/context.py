"""Everything that one exchange is carried out with."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from backstay.errors import BackstayError
from backstay.guard.enforcer import Enforcer, Exchange, Ruling
from backstay.guard.findings import TextScans
from backstay.guard.gateway.faults import ApiFault, unavailable
from backstay.guard.gateway.keys import Principal
from backstay.guard.gateway.limits import Limits
from backstay.guard.gateway.requests import ModelRequest
from backstay.guard.gateway.settings import GuardSettings
from backstay.guard.output_plan import PackKinds
from backstay.guard.provenance import origins_of
from backstay.policy import Limit


@dataclass(frozen=True)
class HeldCall:
    """Something that waits for an approval: the ruling that held it, and what is shown of it."""

    ruling: Ruling
    tool_schema: object = None


class Holds(Protocol):
    """Approvals, as an exchange asks for them."""

    async def ask(self, exchange: Exchange, held: Sequence[HeldCall], request_digest: str, answer: bytes) -> list[str]:
        """Keep an answer until all of these are approved; the ids of the approvals, once they are on disk."""


@dataclass
class Context:
    """One exchange at work: who asks, what, and with which parts of the gateway."""

    exchange: Exchange
    request: ModelRequest
    settings: GuardSettings
    enforcer: Enforcer
    scans: TextScans
    kinds: PackKinds
    holds: Holds
    limits: Limits
    principal: Principal
    request_digest: str
    rulings: list[Ruling] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    """Headers that tell the client what was changed."""

    def ruled(self, ruling: Ruling) -> Ruling:
        """Keep a ruling with the exchange."""
        self.rulings.append(ruling)
        return ruling

    def origins(self, args: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """Where arguments of a tool call came from."""
        return dict(origins_of(self.request.conversation(), args).by_argument())

    async def on_disk(self) -> None:
        """Wait until every decision so far is on disk; raises ApiFault 503 where one cannot be written."""
        await on_disk(
            ruling.written for ruling in self.rulings if not ruling.written.done() or ruling.written.exception()
        )

    def within_limits(self, ruling: Ruling) -> bool:
        """Whether limits that rules set leave room for this; it is counted where they do."""
        what = ",".join(ruling.decision.rules) or ruling.request.point
        limits = [o for o in ruling.decision.obligations if isinstance(o, Limit)]
        return all([self.limits.within(self.principal, what, limit) for limit in limits])

    def denial(self, ruling: Ruling, what: str) -> ApiFault:
        """The answer to a request that policy denies."""
        facts = {"decision": ruling.id, "exchange": self.exchange.id, "rules": list(ruling.decision.rules)}
        return ApiFault(403, "denied", f"{what} was denied: {ruling.why}", facts=facts)


async def on_disk(futures: "Iterable[Future[int]]") -> None:
    """Wait for journal rows; raises ApiFault 503 where one is not written."""
    try:
        for future in futures:
            await asyncio.wrap_future(future)
    except BackstayError as error:
        raise unavailable(
            f"a decision could not be written down, so nothing is let through: {error.message}"
        ) from error


def digest_text(value: object) -> str:
    """JSON with sorted keys, for digests of requests."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
