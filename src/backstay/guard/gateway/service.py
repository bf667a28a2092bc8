"""What happens to one request to a model, from its first byte to its last."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from backstay.guard.enforcer import Enforcer, Exchange
from backstay.guard.findings import TextScans
from backstay.guard.gateway.answers import Choice, MalformedAnswer, parse_object
from backstay.guard.gateway.context import Context, HeldCall, Holds, digest_text
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.incoming import DecidedTexts, Held, check_request
from backstay.guard.gateway.keys import Principal
from backstay.guard.gateway.limits import Limits
from backstay.guard.gateway.outcome import Asked, Harvest, Outcome, OutcomeLog, tokens_of
from backstay.guard.gateway.replies import Send, fault_of, headers_of, send_made, with_keepalive
from backstay.guard.gateway.requests import Api, ModelRequest, parse_body, refuse_logprobs
from backstay.guard.gateway.settings import GuardSettings
from backstay.guard.gateway.settling import Settled, filter_choice, settle_whole
from backstay.guard.gateway.sse import event_bytes
from backstay.guard.gateway.streamed import Streamed
from backstay.guard.gateway.tracing import exchange_span
from backstay.guard.gateway.upstream import Answer, Upstreams
from backstay.guard.gateway.wires import WIRES
from backstay.guard.mcp.chat_pins import ChatPins
from backstay.guard.output_plan import OUTPUT_POINTS, OutputPlan, PackKinds, plan_output
from backstay.guard.tool_roles import ToolRoles
from backstay.policy import Request
from backstay.records import sha256_hex, uuid7
from backstay.scan import Canary

KEEPALIVE_S = 10.0
KEEPALIVE = b": the guard holds the answer until it is decided\n\n"


@dataclass
class Gateway:
    """The parts that every exchange shares."""

    settings: GuardSettings
    enforcer: Enforcer
    scans: TextScans
    kinds: PackKinds
    holds: Holds
    upstreams: Upstreams
    limits: Limits
    outcomes: OutcomeLog
    tools: ToolRoles = field(default_factory=dict)
    canary: Canary | None = None
    decided: DecidedTexts = field(default_factory=DecidedTexts)
    harvest: Harvest | None = None
    tool_pins: ChatPins | None = None

    async def serve(self, api: Api, raw: bytes, principal: Principal, asked: Asked, send: Send) -> None:
        """Carry out one request and send its answer; raises ApiFault while nothing has been sent."""
        outcome = Outcome(api)
        exchange = Exchange(uuid7(), principal.id, principal.id, principal.roles, principal.attributes or {})
        context: Context | None = None
        try:
            with self.limits.admitted(principal), exchange_span(asked.trace, api, exchange.id):
                context = self._context(api, raw, principal, asked, exchange)
                exchange = context.exchange
                outcome.model = context.request.model
                await self._carried_out(context, asked.approval, outcome, send)
                for resumed in context.resumed:
                    await self.holds.sent(resumed)
        except asyncio.CancelledError:
            outcome.status = "client_gone"
            raise
        except Exception as error:
            fault = fault_of(error)
            outcome.status, outcome.effect = fault.code, "deny"
            raise fault from error
        finally:
            self.limits.spend(principal, outcome.tokens)
            self.outcomes.outcome(exchange, outcome)
            if self.harvest is not None and context is not None:
                self.harvest.ended(context, outcome)

    def _context(self, api: Api, raw: bytes, principal: Principal, asked: Asked, exchange: Exchange) -> Context:
        body = parse_body(raw)
        if self.settings.logprobs == "deny":
            refuse_logprobs(body)
        digest = sha256_hex(digest_text({"api": api, "principal": principal.id, "body": _bound(body)}).encode())
        request = WIRES[api].read(body, self.settings.limits)
        if not principal.may_use(api, request.model):
            raise ApiFault(403, "denied", f"the key {principal.id} is not for {api} of {request.model}")
        own = bool(principal.key and principal.key.sessions and asked.session)
        exchange = Exchange(
            exchange.id,
            principal.id,
            f"{principal.id}/{asked.session}" if own else principal.id,
            principal.roles,
            principal.attributes or {},
            request.model,
            principal.owner,
            self.enforcer.bundle,
        )
        return Context(
            exchange,
            request,
            self.settings,
            self.enforcer,
            self.scans,
            self.kinds,
            self.holds,
            self.limits,
            principal,
            digest,
            self.tools,
            self.canary,
            asked.wait_s,
            self.tool_pins,
        )

    async def _carried_out(self, context: Context, approval: str, outcome: Outcome, send: Send) -> None:
        if approval:
            resumed = await self.holds.resume(context, approval, context.wait_s)
            if resumed.choices is not None or resumed.state == "pending":
                await self._send_resumed(context, resumed, outcome, send)
                return
            context.resumed.append(resumed)
        try:
            check_request(context, self.decided, approved=bool(approval))
        except Held as held:
            if not await self._hold_request(context, held, outcome, send):
                return
        await context.on_disk()
        request, plan = context.request, self._plan(context)
        upstream = self.upstreams.of(request.model)
        body = _upstream_body(request)
        async with self.upstreams.send(upstream, "POST", WIRES[request.api].path, body) as answer:
            if request.stream:
                await self._stream(context, plan, answer, outcome, send)
            else:
                await self._whole(context, answer, outcome, send)

    def _plan(self, context: Context) -> OutputPlan:
        if self.settings.answers == "whole":
            return OutputPlan("answers: whole", None)
        if self.settings.prompt_leaks:
            return OutputPlan("the answer is compared with the system's prompt", None)
        bundle = context.bundle
        if bundle.rules_at(OUTPUT_POINTS[1]):
            return OutputPlan("rules for response.final read the whole", None)
        exchange = context.exchange
        request = Request(
            point="model.output",
            principal=exchange.principal,
            roles=exchange.roles,
            principal_attributes=exchange.attributes,
            resource=exchange.resource,
            findings={},
            counters=context.enforcer.counters(exchange),
        )
        return plan_output(bundle.rules_at("model.output"), request, bundle.decide, self.kinds)

    async def _whole(self, context: Context, answer: Answer, outcome: Outcome, send: Send) -> None:
        if not answer.is_json:
            raise MalformedAnswer("it does not say that it is JSON")
        body = parse_object(await answer.whole())
        wire = WIRES[context.request.api]
        choices = wire.read_answer(body, context.request)
        settled = await settle_whole(context, choices)
        outcome.tokens, outcome.effect = tokens_of(body.get("usage")), settled.effect
        told = wire.write_answer(context, choices, body)
        if settled.effect != "allow" or self.harvest is not None:
            told["backstay"] = settled.facts(context.exchange.id)
        await send(200, headers_of(context, settled), orjson.dumps(told), False)

    async def _stream(self, context: Context, plan: OutputPlan, answer: Answer, outcome: Outcome, send: Send) -> None:
        if not answer.streams:
            raise MalformedAnswer("it does not say that it is an event stream")
        headers = headers_of(context, None) | {"content-type": "text/event-stream", "cache-control": "no-cache"}
        await send(200, headers, b"", True)
        streamed = WIRES[context.request.api].stream(context, plan)
        try:
            last = await self._streamed(streamed, plan, answer, outcome, send)
        except asyncio.CancelledError:
            streamed.abandon()
            outcome.tokens = streamed.estimated_tokens
            raise
        except Exception as error:  # noqa: BLE001  the answer has begun: whatever fails is told in it, and it ends
            fault = fault_of(error)
            streamed.abandon()
            outcome.status, outcome.effect, outcome.tokens = fault.code, "deny", streamed.estimated_tokens
            last = event_bytes(fault.body())
        await send(200, {}, last, False)

    async def _streamed(
        self, streamed: Streamed, plan: OutputPlan, answer: Answer, outcome: Outcome, send: Send
    ) -> bytes:
        """Send what may go out while it comes; the last bytes."""
        async for batch in with_keepalive(answer.events(), KEEPALIVE_S if plan.whole else None):
            out, error = streamed.take_all(batch)
            if out or not batch:
                await send(200, {}, out if batch else KEEPALIVE, True)
            if error is not None:
                raise error
            if streamed.ended:
                break
        last, settled = await streamed.close()
        outcome.tokens, outcome.effect = tokens_of(streamed.usage) or streamed.estimated_tokens, settled.effect
        return last

    async def _hold_request(self, context: Context, held: Held, outcome: Outcome, send: Send) -> bool:
        """A request that waits for approval: nothing was sent upstream. Whether it was approved meanwhile."""
        one = HeldCall(held.ruling, {"text": held.ruling.request.text})
        ids = await self.holds.ask(context, [one], b"")
        await context.on_disk()
        if context.wait_s:
            resumed = await self.holds.resume(context, ids[0], context.wait_s)
            if resumed.state == "released":
                context.resumed.append(resumed)
                check_request(context, self.decided, approved=True)
                return True
        await self._send_waiting(context, ids, f"the request waits for approval: {held.ruling.why}", outcome, send)
        return False

    async def _send_resumed(self, context: Context, resumed: Any, outcome: Outcome, send: Send) -> None:
        """An answer that was kept, or that it still waits."""
        if resumed.choices is None:
            await self._send_waiting(context, resumed.approvals, "the answer waits for approval", outcome, send)
            return
        settled = Settled("allow", (), tuple(ruling.id for ruling in context.rulings))
        await send_made(context, resumed.choices, settled, send)
        await self.holds.sent(resumed)

    async def _send_waiting(self, context: Context, ids: Sequence[str], why: str, outcome: Outcome, send: Send) -> None:
        outcome.effect = "hold"
        choice = Choice(0)
        filter_choice(context, choice, f"[guard: {why}]\n[guard: approval {', '.join(ids)}]")
        settled = Settled("hold", tuple(ids), tuple(ruling.id for ruling in context.rulings))
        await send_made(context, [choice], settled, send)


def _bound(body: Mapping[str, Any]) -> dict[str, Any]:
    """What of a request an approval is bound to: all but how the answer is sent."""
    return {name: value for name, value in body.items() if name not in ("stream", "stream_options", "backstay")}


def _upstream_body(request: ModelRequest) -> bytes:
    body = request.body
    body.pop("backstay", None)
    if request.stream and request.api != "responses":
        options = body.get("stream_options")
        body["stream_options"] = (options if isinstance(options, dict) else {}) | {"include_usage": True}
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise ApiFault(400, "bad_request", f"the body cannot be passed on: {error}") from error
