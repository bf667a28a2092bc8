"""Everything that one exchange is carried out with."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from backstay.errors import BackstayError
from backstay.guard.call_facts import CallFacts, facts_of
from backstay.guard.enforcer import Enforcer, Exchange, Ruling
from backstay.guard.findings import TextScans
from backstay.guard.gateway.faults import ApiFault, unavailable
from backstay.guard.gateway.keys import Principal
from backstay.guard.gateway.limits import Limits
from backstay.guard.gateway.requests import ModelRequest
from backstay.guard.gateway.scanning import leaked
from backstay.guard.gateway.settings import GuardSettings
from backstay.guard.mcp.chat_pins import ChatPins
from backstay.guard.output_plan import PackKinds
from backstay.guard.tool_roles import ToolRoles
from backstay.policy import Limit, PolicyBundle
from backstay.records import Finding
from backstay.scan import Canary


@dataclass(frozen=True)
class HeldCall:
    """Something that waits for an approval: the ruling that held it, what is shown of it, and where it stands."""

    ruling: Ruling
    args: Mapping[str, Any]
    choice: int | None = None
    call: int | None = None


class Holds(Protocol):
    """Approvals, as an exchange asks for them; see `holds.ApprovalHolds`."""

    async def ask(self, context: "Context", held: Sequence[HeldCall], answer: bytes) -> list[str]:
        """Keep an answer until all of these are approved; the ids of the approvals, once they are on disk."""

    async def resume(self, context: "Context", approval_id: str, wait_s: float) -> Any:
        """Let go what waits for an approval; a `Letting`. Raises ApiFault."""

    async def sent(self, resumed: Any) -> None:
        """What was let go has gone out."""


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
    tools: ToolRoles = field(default_factory=dict)
    """What the operator says of his tools."""
    canary: Canary | None = None
    """What is planted in the system's prompt where policy asks for it."""
    wait_s: float = 0.0
    """How long the client waits for an approval."""
    tool_pins: ChatPins | None = None
    """Tools of requests as they were first offered; None: they may change."""
    rulings: list[Ruling] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    """Tools that were taken out of the request; the model cannot call them."""
    notes: dict[str, str] = field(default_factory=dict)
    """Headers that tell the client what was changed."""

    resumed: list[Any] = field(default_factory=list)
    """Held answers that go out with this one; see `Holds.sent`."""
    writes: "list[Future[int]]" = field(default_factory=list)

    def count(self, ruling: Ruling) -> None:
        """What was decided is about to be done."""
        written = self.enforcer.count(self.exchange, ruling)
        if written is not None:
            self.writes.append(written)

    def ruled(self, ruling: Ruling) -> Ruling:
        """Keep a ruling with the exchange."""
        self.rulings.append(ruling)
        return ruling

    def facts(self, tool: str, args: Mapping[str, Any]) -> CallFacts:
        """What is known of a tool call before it is made."""
        return facts_of(self.request.conversation(), tool, args, self.tools)

    @property
    def bundle(self) -> PolicyBundle:
        """The policy that decides on the exchange's texts."""
        return self.enforcer.bundle_for(self.exchange, "model.output")

    async def on_disk(self) -> None:
        """Wait until every decision so far is on disk; raises ApiFault 503 where one cannot be written."""
        await on_disk([*(ruling.written for ruling in self.rulings), *self.writes])

    def output_findings(self, text: str) -> tuple[Finding, ...]:
        """Findings in a text of the model, leaks of the system's prompt among them where they are looked for."""
        found = self.scans.findings(text, "model.output")
        if not self.settings.prompt_leaks or not text:
            return found
        prompt = "\n".join(slot.text for slot in self.request.slots if slot.role == "system")
        return (*found, *leaked(prompt, text, self.settings.scan.deadline_ms))

    def within_limits(self, ruling: Ruling) -> bool:
        """Whether limits that rules set leave room for this; it is counted where they do."""
        what = ",".join(ruling.decision.rules) or ruling.request.point
        limits = [o for o in ruling.decision.obligations if isinstance(o, Limit)]
        left = [self.limits.within(self.principal, what, limit) for limit in limits]
        return all(left)

    def denial(self, ruling: Ruling, what: str) -> ApiFault:
        """The answer to a request that policy denies."""
        facts = {"decision": ruling.id, "exchange": self.exchange.id, "rules": list(ruling.decision.rules)}
        return ApiFault(403, "denied", f"{what} was denied: {ruling.why}", facts=facts)


async def on_disk(futures: "Iterable[Future[int]]") -> None:
    """Wait for journal rows; raises ApiFault 503 where one is not written."""
    try:
        for future in futures:
            if not future.done() or future.exception():
                await asyncio.wrap_future(future)
    except BackstayError as error:
        raise unavailable(
            f"a decision could not be written down, so nothing is let through: {error.message}"
        ) from error


def digest_text(value: object) -> str:
    """JSON with sorted keys, for digests of requests."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
