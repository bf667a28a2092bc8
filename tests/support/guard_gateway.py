"""A gateway and a scripted upstream, both on free loopback ports, each on a loop in a thread of its own."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvicorn
from aiohttp import web

from backstay.guard.enforcer import Enforcer, Exchange
from backstay.guard.gateway.app import Front, build_app
from backstay.guard.gateway.keys import KeyRing
from backstay.guard.gateway.limits import Limits
from backstay.guard.gateway.metrics import Metrics
from backstay.guard.gateway.outcome import Outcome
from backstay.guard.gateway.service import Gateway
from backstay.guard.gateway.settings import GuardSettings, checked
from backstay.guard.gateway.upstream import Upstreams
from backstay.guard.output_plan import PackKinds
from backstay.guard.scans import RememberedScans
from backstay.policy import Decision, Histories, PolicyBundle, Request, parse_policy
from backstay.records import Finding
from backstay.scan.secrets import scan_secrets, secret_pack

Handler = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class MemoryLog:
    """Decisions and outcomes, kept in memory."""

    decisions: list[tuple[Request, Decision]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    broken: BaseException | None = None

    def decision(
        self, exchange: Exchange, ruling_id: str, request: Request, decision: Decision, cost_us: int
    ) -> "Future[int]":
        """Keep one."""
        self.decisions.append((request, decision))
        written: Future[int] = Future()
        if self.broken is not None:
            written.set_exception(self.broken)
        else:
            written.set_result(len(self.decisions))
        return written

    def counted(self, exchange: Exchange, ruling_id: str, amounts: Any) -> "Future[int]":
        """Forget it."""
        written: Future[int] = Future()
        written.set_result(0)
        return written

    def outcome(self, exchange: Exchange, outcome: Outcome) -> None:
        """Keep one."""
        self.outcomes.append(outcome)

    def effects(self, point: str) -> list[str]:
        """What was decided at a point, in order."""
        return [decision.effect for request, decision in self.decisions if request.point == point]


class NobodyHolds:
    """Approvals of which the answers are only counted."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []

    async def resume(self, context: Any, approval_id: str, wait_s: float) -> Any:
        """Nothing was kept."""
        raise AssertionError("no test resumes here")

    async def sent(self, resumed: Any) -> None:
        """Nothing was kept."""

    async def ask(self, context: Any, held: Any, answer: bytes) -> list[str]:
        """Note what is held."""
        self.asked.append((context.request_digest, answer))
        return [f"approval-{len(self.asked)}-{i}" for i, _ in enumerate(held)]


@dataclass
class Live:
    """A policy that does not change."""

    bundle: PolicyBundle
    histories: Histories


def live_policy(*texts: str) -> Live:
    """Policies from their texts."""
    bundle = PolicyBundle.compile([(f"policy-{i}", parse_policy(text, f"policy-{i}")) for i, text in enumerate(texts)])
    return Live(bundle, Histories(bundle.counters, lambda: 1000.0))


def scan_for_secrets(text: str, point: str) -> tuple[Finding, ...]:
    """The scanner of secrets at every point."""
    return scan_secrets(text)


@dataclass
class Running:
    """Where the gateway and its upstream listen, and what both have seen."""

    url: str
    log: MemoryLog
    holds: NobodyHolds
    upstream_bodies: list[dict[str, Any]]
    gateway: Gateway
    front: Front

    def ended(self) -> Outcome:
        """The end of the last exchange, which is noted after its last byte."""
        deadline = time.monotonic() + 5
        while not self.log.outcomes and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.log.outcomes[-1]


PERMIT_ALL = """
policy: 1
rules:
  - {id: all, effect: permit, match: {point: model.tool_call}, reason: tests permit every tool}
"""
REDACT_SECRETS = """
policy: 1
rules:
  - id: redact
    effect: permit
    match: {point: [model.output, request.input, tool.result]}
    obligations: [{redact: {kinds: [secrets]}}]
    reason: no secrets
"""


@contextlib.contextmanager
def running(
    handler: Handler,
    *policies: str,
    scan: Callable[[str, str], tuple[Finding, ...]] = scan_for_secrets,
    keys: KeyRing | None = None,
    upstream: dict[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """Serve until the block ends."""
    with LoopThread() as loop:
        seen: list[dict[str, Any]] = []
        port = loop.call(start_upstream(loop, handler, seen))
        given = {"base_url": f"http://127.0.0.1:{port}/v1", "retries": 0} | (upstream or {})
        config = checked({"guard": 1, "upstreams": {"main": given}, **settings}, "test")
        log, holds = MemoryLog(), NobodyHolds()
        live = live_policy(*(policies or (PERMIT_ALL, REDACT_SECRETS)))
        yield loop.call(_start_gateway(loop, config, live, log, holds, scan, keys, seen))


async def _start_gateway(
    loop: "LoopThread",
    config: GuardSettings,
    live: Live,
    log: MemoryLog,
    holds: NobodyHolds,
    scan: Callable[[str, str], tuple[Finding, ...]],
    keys: KeyRing | None,
    seen: list[dict[str, Any]],
) -> Running:
    upstreams = Upstreams(config, {})
    await loop.stack.enter_async_context(upstreams)
    pack = secret_pack()
    gateway = Gateway(
        config,
        Enforcer(live, live.histories, log, on_unscanned=config.on_unscanned),
        RememberedScans(scan),
        PackKinds(pack, {rule.kind: "secrets" for rule in pack.rules}),
        holds,
        upstreams,
        Limits(config.limits.in_flight),
        log,
    )
    front = Front(gateway, keys, Metrics())
    server = uvicorn.Server(
        uvicorn.Config(build_app(front), host="127.0.0.1", port=0, log_level="critical", lifespan="off")
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # it is not the main thread
    task = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.001)
    port = server.servers[0].sockets[0].getsockname()[1]

    async def stop() -> None:
        server.should_exit = True
        await task

    loop.stack.push_async_callback(stop)
    return Running(f"http://127.0.0.1:{port}/v1", log, holds, seen, gateway, front)


async def start_upstream(loop: "LoopThread", handler: Handler, seen: list[dict[str, Any]]) -> int:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read() or b"{}")
        seen.append(body)
        return await handler(request, body)

    app = web.Application(client_max_size=64_000_000)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    loop.stack.push_async_callback(runner.cleanup)
    return int(runner.addresses[0][1])


class LoopThread:
    """An event loop in a thread, with what is to be closed on it."""

    def __enter__(self) -> "LoopThread":
        self.loop = asyncio.new_event_loop()
        self.stack = contextlib.AsyncExitStack()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def call(self, work: Any) -> Any:
        """Run a coroutine there and wait for what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def __exit__(self, *_: object) -> None:
        self.call(self.stack.aclose())
        self.call(self.loop.shutdown_asyncgens())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


def chat_answer(*contents: str, **more: Any) -> dict[str, Any]:
    """A whole chat completion of these choices."""
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for i, text in enumerate(contents)
    ]
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": choices,
        "usage": usage,
    } | more


def call_message(*calls: tuple[str, Any], content: str | None = None) -> dict[str, Any]:
    """A message with tool calls, each a name and its arguments (JSON text, or a value)."""
    rows = [
        {
            "id": f"call-{i}",
            "type": "function",
            "function": {"name": name, "arguments": a if isinstance(a, str) else json.dumps(a)},
        }
        for i, (name, a) in enumerate(calls)
    ]
    return {"role": "assistant", "content": content, "tool_calls": rows}


async def sse(request: web.Request, chunks: list[Any], *, done: bool = True, raw: bytes = b"") -> web.StreamResponse:
    """Answer with these chunks as events."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for chunk in chunks:
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    if raw:
        await response.write(raw)
    if done:
        await response.write(b"data: [DONE]\n\n")
    return response


def deltas(*pieces: str, index: int = 0, finish: str = "stop") -> list[dict[str, Any]]:
    """Chunks of a streamed text, the last with the reason for its end."""
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    rows = [
        frame | {"choices": [{"index": index, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces
    ]
    return [*rows, frame | {"choices": [{"index": index, "delta": {}, "finish_reason": finish}]}]


async def post(url: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, bytes, dict[str, str]]:
    """POST JSON (or bytes); status, body and headers."""
    async with aiohttp.ClientSession() as session:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with session.post(url, data=data, headers=headers) as response:
            return response.status, await response.read(), {k.lower(): v for k, v in response.headers.items()}


async def bytes_of(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Pieces of an answer as they come."""
    async for piece in response.content.iter_any():
        yield piece
