"""Answers that no model is giving now, their headers, and what a client is told of an error."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import orjson

from backstay.errors import BackstayError
from backstay.guard.gateway.answers import Choice, MalformedAnswer
from backstay.guard.gateway.context import Context
from backstay.guard.gateway.faults import ApiFault, unavailable
from backstay.guard.gateway.settling import Settled
from backstay.guard.gateway.sse import Event, MalformedStream
from backstay.guard.gateway.upstream import BrokenOff
from backstay.guard.gateway.wires import WIRES

_log = logging.getLogger("backstay.guard")
Send = Callable[[int, Mapping[str, str], bytes, bool], Awaitable[None]]


async def send_made(context: Context, choices: list[Choice], settled: Settled, send: Send) -> None:
    """Send an answer that no model is giving now: a notice, or one that was kept until it was approved."""
    wire = WIRES[context.request.api]
    facts = {"backstay": settled.facts(context.exchange.id)}
    if not context.request.stream:
        told = wire.write_answer(context, choices, {}) | facts
        await send(200, headers_of(context, settled), orjson.dumps(told), False)
        return
    headers = headers_of(context, settled) | {"content-type": "text/event-stream", "cache-control": "no-cache"}
    await send(200, headers, b"", True)
    await send(200, {}, wire.made_stream(context, choices, facts), False)


def headers_of(context: Context, settled: Settled | None) -> dict[str, str]:
    """Headers of an answer; they tell what was changed."""
    headers = {"content-type": "application/json", "x-backstay-exchange": context.exchange.id} | context.notes
    if settled is not None and settled.approvals:
        headers["x-backstay-approval"] = ",".join(settled.approvals)
    return headers


async def with_keepalive(events: AsyncIterator[list[Event]], every_s: float | None) -> AsyncIterator[list[Event]]:
    """The batches; an empty one where nothing came for so long (None: never)."""
    if every_s is None:
        async for batch in events:
            yield batch
        return
    upcoming = asyncio.ensure_future(_next(events))
    try:
        while True:
            done, _ = await asyncio.wait([upcoming], timeout=every_s)
            if not done:
                yield []
                continue
            found = upcoming.result()
            if found is None:
                return
            yield found
            upcoming = asyncio.ensure_future(_next(events))
    finally:
        upcoming.cancel()


async def _next(events: AsyncIterator[list[Event]]) -> list[Event] | None:
    async for batch in events:
        return batch
    return None


def fault_of(error: Exception) -> ApiFault:
    """What a client is told of an error; one that nobody foresaw is in the log, and lets nothing through either."""
    if isinstance(error, ApiFault):
        return error
    if isinstance(error, MalformedAnswer | MalformedStream | BrokenOff):
        return ApiFault(502, "upstream_malformed", f"the upstream's answer is not what it should be: {error}")
    if isinstance(error, BackstayError):
        return unavailable(f"the guard cannot decide: {error.message}")
    _log.error("an exchange crashed", exc_info=error)
    return unavailable(f"the guard cannot decide: an error of its own ({type(error).__name__}), which is in its log")
