"""Holding an answer until people have approved it, and letting it go: once, and under the policy of that moment."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from backstay.guard.approvals import Approval, Approvals, AsyncApprovals, Claim, Current, HeldAction, Refusal, State
from backstay.guard.enforcer import Enforcer, Exchange, Ruling
from backstay.guard.findings import TextScans
from backstay.guard.gateway.answers import Choice, ToolCall, choice_from
from backstay.guard.gateway.context import Context, HeldCall
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.kept import Kept, KeptAnswers, Place, places_of
from backstay.guard.gateway.outgoing import judge_call, judge_texts
from backstay.guard.json_texts import texts_in
from backstay.guard.tool_roles import ToolRoles
from backstay.policy import Request
from backstay.records import content_hash

LEASE_S = 60.0


class Resumed(NamedTuple):
    """What became of held answers: `pending` with the ids that wait, or `released` with what goes out now.

    `choices` is None where it was the request that waited: it goes on to the model.
    """

    state: str
    approvals: tuple[str, ...]
    choices: list[Choice] | None = None
    claims: tuple[Claim, ...] = ()


class ApprovalHolds:
    """Asks for approvals and releases what they were given for."""

    def __init__(self, approvals: Approvals, kept: KeptAnswers, worker: str) -> None:
        self.approvals = approvals
        self._aio, self._kept, self._worker = AsyncApprovals(approvals), kept, worker

    async def ask(self, context: Context, held: Sequence[HeldCall], answer: bytes) -> list[str]:
        """Keep an answer until all of these are approved; the ids, once everything is on disk. Raises ApiFault."""
        try:
            ids = [
                (await self._aio.do(self.approvals.ask, action_of(context, one, place))).id
                for place, one in enumerate(held)
            ]
        except Refusal as refusal:
            raise fault_of_refusal(refusal) from refusal
        places = places_of(ids, [(one.choice, one.call) for one in held])
        exchange = context.exchange
        kept = Kept(exchange.id, exchange.principal, context.request_digest, places, answer)
        await asyncio.to_thread(self._kept.keep, kept)
        return ids

    async def resume(self, context: Context, approval_id: str, wait_s: float) -> Resumed:
        """Let go what waits for this approval and its companions, where all are given; raises ApiFault."""
        kept = await asyncio.to_thread(self._kept.find, approval_id)
        if kept is None or kept.principal != context.exchange.principal:
            raise ApiFault(
                404, "not_found", f"nothing of {context.exchange.principal} waits for approval {approval_id}"
            )
        if kept.request_digest != context.request_digest:
            raise ApiFault(
                409, "bad_request", "the approval is for another request; send exactly the one that was held"
            )
        found = await self._states(kept, wait_s)
        if any(approval.state is State.PENDING for approval in found):
            return Resumed("pending", tuple(approval.id for approval in found))
        for approval in found:
            if approval.state is not State.APPROVED:
                raise ApiFault(
                    410 if approval.state in (State.EXPIRED, State.CANCELLED, State.STALE) else 403,
                    "denied" if approval.state is State.DENIED else "held",
                    f"approval {approval.id} is {approval.state}",
                    facts={"approvals": [approval.id], "state": str(approval.state)},
                )
        try:
            return await self._released(context, kept, found)
        except Refusal as refusal:
            if refusal.code in ("demands_more", "quorum_lost"):
                return Resumed("pending", tuple(approval.id for approval in found))
            raise fault_of_refusal(refusal) from refusal

    async def sent(self, resumed: Resumed) -> None:
        """What was let go has gone out."""
        for claim in resumed.claims:
            await self._aio.do(self.approvals.finish, claim.token, "executed")

    async def _states(self, kept: Kept, wait_s: float) -> list[Approval]:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        found = []
        for place in kept.places:
            latest = await self._aio.do(self.approvals.latest, place.approval)
            while latest.state is State.PENDING and loop.time() < deadline_s:
                await self._aio.wait(latest.id, deadline_s - loop.time())
                latest = await self._aio.do(self.approvals.latest, latest.id)
            found.append(latest)
        return found

    async def _released(self, context: Context, kept: Kept, found: Sequence[Approval]) -> Resumed:
        choices = _choices(kept) if kept.answer else None
        ahead: list[Request] = []
        claims: list[Claim] = []
        _check_texts(context, choices or (), kept.places)
        try:
            for place, approval in zip(kept.places, found, strict=True):
                ruling = _judged_again(context, choices, place, approval, ahead)
                if choices is None:
                    context.count(ruling)
                current = Current(ruling.decision.effect, action_of(context, held_call(choices, place, ruling), 0))
                claims.append(
                    await self._aio.do(
                        self.approvals.claim, approval.id, approval.digest, current, self._worker, LEASE_S
                    )
                )
            _count_calls(context, choices or (), dict(zip(kept.places, found, strict=True)))
            await context.on_disk()
        except BaseException:
            for claim in claims:
                await self._aio.do(
                    self.approvals.finish, claim.token, "failed", "another part of the answer was refused"
                )
            raise
        return Resumed("released", tuple(approval.id for approval in found), choices, tuple(claims))


def action_of(context: Context, held: HeldCall, place: int) -> HeldAction:
    """What people are shown and approve."""
    exchange: Exchange = context.exchange
    request, decision = held.ruling.request, held.ruling.decision
    return HeldAction(
        principal=exchange.principal,
        owner=exchange.owner or exchange.principal,
        session=exchange.session,
        action=request.action or request.point,
        tool=request.tool,
        tool_schema=content_hash(context.request.tools.get(request.tool)),
        args=held.args,
        resource=request.resource,
        policy=decision.policy,
        obligations=decision.obligations,
        rules=decision.rules,
        reasons=decision.reasons,
        exchange=exchange.id,
        key=f"{exchange.id}/{place}",
    )


def held_call(choices: Sequence[Choice] | None, place: Place, ruling: Ruling) -> HeldCall:
    """A place of a kept answer as it would be held now."""
    if choices is None or place.choice is None or place.call is None:
        return HeldCall(ruling, {"text": ruling.request.text}, place.choice, place.call)
    call = next(choice for choice in choices if choice.index == place.choice).calls[place.call]
    return HeldCall(ruling, call_args(call), place.choice, place.call)


def call_args(call: ToolCall) -> dict[str, Any]:
    """The arguments of a call that was decided on."""
    if call.kind == "custom":
        return {"input": call.arguments}
    args: dict[str, Any] = orjson.loads(call.arguments)
    return args


def _choices(kept: Kept) -> list[Choice]:
    return [choice_from(row) for row in orjson.loads(kept.answer)]


def _judged_again(
    context: Context, choices: Sequence[Choice] | None, place: Place, approval: Approval, ahead: list[Request]
) -> Ruling:
    """Today's policy on what was approved, edits of its arguments included."""
    if choices is None or place.choice is None:
        slots = [slot for slot in context.request.slots if slot.role == "user"]
        text = "\n".join(slot.text for slot in slots)
        findings = [f for slot in slots for f in context.scans.findings(slot.text, "request.input")]
        return context.ruled(context.enforcer.rule(context.exchange, "request.input", text=text, findings=findings))
    choice = next(choice for choice in choices if choice.index == place.choice)
    if place.call is None:
        return judge_texts(context, replace(choice, texts=dict(choice.texts)))
    call = choice.calls[place.call]
    _take_edit(call, approval)
    verdict = judge_call(context, call, ahead)
    if verdict.ruling is None:
        raise ApiFault(403, "denied", f"the call of {call.name} is denied now: {verdict.why}")
    if verdict.effect == "deny" and verdict.ruling.decision.effect != "deny":
        raise ApiFault(429, "rate_limited", f"the call of {call.name} is denied now: {verdict.why}")
    ahead.append(verdict.ruling.request)
    return verdict.ruling


def _count_calls(context: Context, choices: Sequence[Choice], found: Mapping[Place, Approval]) -> None:
    """Judge all calls that go out once more and count them, without a pause: others may have used up what was left.

    What needed no approval is judged here too: the answer was kept for a while, and it was never counted.
    """
    ahead: list[Request] = []
    held = {(place.choice, place.call): (place, approval) for place, approval in found.items()}
    rulings = []
    for choice in choices:
        for index, call in sorted(choice.calls.items()):
            if (choice.index, index) in held:
                ruling = _judged_again(context, choices, *held[choice.index, index], ahead)
                if ruling.decision.effect == "deny":
                    raise ApiFault(403, "denied", f"what was approved is denied now: {ruling.why}")
                rulings.append(ruling)
            else:
                rulings.append(_still_allowed(context, call, ahead))
    for ruling in rulings:
        context.count(ruling)


def _check_texts(context: Context, choices: Sequence[Choice], places: Sequence[Place]) -> None:
    """Today's policy on the texts that go out with what was approved; raises ApiFault 403 where it is stricter."""
    judged = {place.choice for place in places if place.call is None}
    for choice in choices:
        if choice.texts and choice.index not in judged:
            before = dict(choice.texts)
            ruling = judge_texts(context, choice, counts=False)
            if ruling.decision.effect != "allow" or choice.texts != before:
                raise ApiFault(
                    403, "denied", f"the text that goes out with what was approved is not allowed now: {ruling.why}"
                )


def _still_allowed(context: Context, call: ToolCall, ahead: list[Request]) -> Ruling:
    verdict = judge_call(context, call, ahead)
    if verdict.ruling is None or verdict.effect != "allow":
        why = "needs an approval now" if verdict.effect == "hold" else f"is denied now: {verdict.why}"
        raise ApiFault(403, "denied", f"the call of {call.name}, which goes out with what was approved, {why}")
    ahead.append(verdict.ruling.request)
    return verdict.ruling


def _take_edit(call: ToolCall, approval: Approval) -> None:
    """Arguments that somebody edited before it was approved; values that were masked stay as the model wrote them."""
    if not approval.supersedes:
        return
    args, before = dict(approval.content["args"]), call_args(call)
    for name, value in args.items():
        if isinstance(value, dict) and "$masked" in value:
            args[name] = before.get(name)
    call.arguments = str(args["input"]) if call.kind == "custom" else orjson.dumps(args).decode()


def fault_of_refusal(refusal: Refusal) -> ApiFault:
    """A refusal as clients are told of it."""
    return ApiFault(refusal.status, "held", refusal.message, facts={"reason": refusal.code, "cure": refusal.cure})


def rechecked(enforcer: Enforcer, scans: TextScans, tools: ToolRoles, action: HeldAction) -> Current:
    """Policy and scans on an action that a person edited; where its values come from is judged when it is used.

    A call is judged here without its conversation: its values are the editor's, so that rules about tools' outputs are
    met and everything else of the policy holds. When the client sends its request again all of it is judged anew.
    """
    exchange = Exchange(action.exchange, action.principal, action.session, resource=action.resource, owner=action.owner)
    text = texts_in(action.args)
    declared = tools.get(action.tool)
    call: dict[str, Any] = {"side_effect": declared.side_effect if declared else "undeclared", "facts": []}
    ruling = enforcer.rule(
        exchange,
        "model.tool_call",
        text=text,
        findings=scans.findings(text, "model.tool_call"),
        tool=action.tool,
        args=action.args,
        provenance=dict.fromkeys(action.args, ("editor",)),
        call=call | {role: [] for role in ("destination", "selector", "credential", "amount", "payload")},
    )
    decision = ruling.decision
    duties = decision.obligations if decision.effect == "hold" else action.obligations
    return Current(decision.effect, replace(action, policy=decision.policy, obligations=duties))
