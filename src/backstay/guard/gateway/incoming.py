"""What comes from the client, decided before a model sees it: its messages, its tools, what its tools returned."""

from collections import OrderedDict
from typing import Any, NamedTuple

from backstay.guard.enforcer import Ruling
from backstay.guard.findings import is_wanted, replaced, wanted_by
from backstay.guard.gateway.context import Context
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.requests import Slot
from backstay.policy import Canary as CanaryDuty
from backstay.policy import Route
from backstay.records import Finding, content_hash
from backstay.scan import Canary, with_canary

WITHHELD = "[withheld by the guard: {why}]"
MASK = "[REDACTED:{kind}]"
MAX_TEXTS = 20_000
"""Texts of a request: each costs a scan, however short it is."""
MAX_REMEMBERED = 50_000
MAX_TEXT = 4000
"""Characters of a changed text that is remembered; a longer one is decided on anew."""


class Held(Exception):
    """The request waits for an approval."""

    def __init__(self, ruling: Ruling) -> None:
        super().__init__(ruling.why)
        self.ruling = ruling


class Remembered(NamedTuple):
    """What was decided of a text of a tool: what stands in its place (None: itself)."""

    effect: str
    put: str | None


class DecidedTexts:
    """Decisions on outputs and descriptions of tools, which clients send again with each turn, in bounded memory."""

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most = most
        self._known: OrderedDict[tuple[str, ...], Remembered] = OrderedDict()

    def get(self, key: tuple[str, ...]) -> Remembered | None:
        """What was decided, None where nothing was."""
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        return found

    def put(self, key: tuple[str, ...], decided: Remembered) -> None:
        """Remember a decision; the oldest is forgotten."""
        if decided.put is not None and len(decided.put) > MAX_TEXT:
            return
        self._known[key] = decided
        if len(self._known) > self._most:
            self._known.popitem(last=False)


def check_request(context: Context, decided: DecidedTexts, *, approved: bool = False) -> None:
    """Decide on a request and change it as the policy asks; raises ApiFault 403, or Held (unless `approved`)."""
    request = context.request
    if len(request.slots) > MAX_TEXTS:
        raise ApiFault(413, "too_large", f"the request has {len(request.slots)} texts; at most {MAX_TEXTS} are scanned")
    if request.media and context.settings.media == "deny":
        kinds = ", ".join(sorted(set(request.media)))
        raise ApiFault(403, "denied", f"the request holds parts that no scanner reads: {kinds}; set media: allow")
    _check_tool_results(context, decided)
    _check_tools(context, decided)
    _check_input(context, approved=approved)


def _check_input(context: Context, *, approved: bool) -> None:
    slots = [slot for slot in context.request.slots if slot.role != "tool"]
    found = {place: context.scans.findings(slot.text, "request.input") for place, slot in enumerate(slots)}
    every = [finding for findings in found.values() for finding in findings]
    text = "\n".join(slot.text for slot in slots if slot.role == "user")
    ruling = context.ruled(context.enforcer.rule(context.exchange, "request.input", text=text, findings=every))
    if ruling.decision.effect == "deny":
        raise context.denial(ruling, "the request")
    if ruling.decision.effect == "hold" and not approved:
        raise Held(ruling)
    if not context.within_limits(ruling):
        raise ApiFault(429, "rate_limited", f"a limit that policy sets is used up: {ruling.why}")
    context.count(ruling)
    wanted = wanted_by(ruling.decision.obligations)
    kinds: set[str] = set()
    for place, slot in enumerate(slots):
        kinds |= _redacted(context, ruling, slot, found[place], wanted)
    if kinds:
        context.notes["x-backstay-redacted"] = ",".join(sorted(kinds))
    for obligation in ruling.decision.obligations:
        if isinstance(obligation, Route):
            context.request.model = context.request.body["model"] = obligation.model
        if isinstance(obligation, CanaryDuty) and context.canary is not None:
            _plant(context.request.slots, context.canary)


def _plant(slots: list[Slot], canary: Canary) -> None:
    """Put the canary into the first text of the system, where there is one: what it guards is that text."""
    for slot in slots:
        if slot.role == "system":
            slot.put(with_canary(slot.text, canary))
            return


def _redacted(
    context: Context, ruling: Ruling, slot: Slot, findings: tuple[Finding, ...], wanted: frozenset[str]
) -> set[str]:
    if not wanted or not any(is_wanted(f.kind, f.scanner, wanted) for f in findings):
        return set()
    outcome = replaced(slot.text, findings, wanted, lambda kind: MASK.format(kind=kind))
    if outcome.unplaced:
        raise context.denial(ruling, f"the request holds {outcome.unplaced[0]}, which cannot be taken out of it, and")
    slot.put(outcome.text)
    return set(outcome.kinds)


def _check_tool_results(context: Context, decided: DecidedTexts) -> None:
    for slot in context.request.slots:
        if slot.role != "tool" or not slot.text:
            continue
        key = _key(context, "result", slot.tool, slot.text)
        known = decided.get(key)
        if known is None:
            known = _judged_result(context, slot)
            decided.put(key, known)
        if known.put is not None:
            slot.put(known.put)
            context.notes["x-backstay-tool-results"] = "changed"


def _judged_result(context: Context, slot: Slot) -> Remembered:
    findings = context.scans.findings(slot.text, "tool.result")
    ruling = context.ruled(
        context.enforcer.rule(context.exchange, "tool.result", text=slot.text, findings=findings, tool=slot.tool)
    )
    decision = ruling.decision
    if decision.effect != "allow":
        return Remembered(decision.effect, WITHHELD.format(why=ruling.why))
    context.count(ruling)
    wanted = wanted_by(decision.obligations)
    outcome = replaced(slot.text, findings, wanted, lambda kind: MASK.format(kind=kind))
    if outcome.unplaced:
        return Remembered("deny", WITHHELD.format(why=f"it holds {outcome.unplaced[0]}"))
    return Remembered("allow", outcome.text if outcome.kinds else None)


def _check_tools(context: Context, decided: DecidedTexts) -> None:
    refused = []
    for name, text in context.request.tool_texts:
        key = _key(context, "tool", name, text)
        known = decided.get(key)
        if known is None:
            known = _judged_tool(context, name, text)
            decided.put(key, known)
        if known.effect != "allow" or _changed(context, name, text):
            refused.append(name)
    if refused:
        _take_out(context.request.body, frozenset(refused))
        request = context.request
        context.removed |= set(refused)
        request.tools = {name: about for name, about in request.tools.items() if name not in context.removed}
        request.tool_texts = [pair for pair in request.tool_texts if pair[0] not in context.removed]
        context.notes["x-backstay-tools-removed"] = ",".join(sorted(refused))


def _changed(context: Context, name: str, text: str) -> bool:
    """Whether a tool is not what it was when the principal first offered it; the journal says so."""
    if context.tool_pins is None:
        return False
    why = context.tool_pins.fault(context.exchange.principal, name, text, context.request.tools[name])
    if why:
        context.ruled(context.enforcer.refuse(context.exchange, "request.tools", "guard:pin", why, tool=name))
    return bool(why)


def _judged_tool(context: Context, name: str, text: str) -> Remembered:
    findings = context.scans.findings(text, "request.tools")
    ruling = context.enforcer.rule(context.exchange, "request.tools", text=text, findings=findings, tool=name)
    context.ruled(ruling)
    return Remembered("allow" if ruling.decision.effect == "allow" else "deny", None)


def _take_out(body: dict[str, Any], names: frozenset[str]) -> None:
    """Tools that policy refuses are not offered to the model; a choice that asks for one of them falls away too."""
    for key in ("tools", "functions"):
        if key in body:
            body[key] = [tool for tool in body[key] if name_of(tool) not in names]
            if not body[key]:
                del body[key]
    choice = body.get("tool_choice")
    if ("tools" not in body and "tool_choice" in body) or (isinstance(choice, dict) and name_of(choice) in names):
        body.pop("tool_choice", None)
    if "tools" not in body:
        body.pop("parallel_tool_calls", None)
    if "functions" not in body:
        body.pop("function_call", None)


def name_of(tool: dict[str, Any]) -> str:
    """The name of a tool as it is offered by any of the APIs."""
    inner = tool.get("function") or tool.get("custom") or tool
    return str(inner.get("name", "")) if isinstance(inner, dict) else ""


def _key(context: Context, what: str, tool: str, text: str) -> tuple[str, ...]:
    exchange = context.exchange
    who = content_hash(
        [exchange.principal, list(exchange.roles), exchange.resource, exchange.owner, dict(exchange.attributes)]
    )
    return (what, context.bundle.hash, who, exchange.session, tool, content_hash(text))
