"""A gateway with its MCP proxy in front of a server: a real one, or one that plays a script."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from aiohttp import web
from guard_gateway import LoopThread, MemoryLog, NobodyHolds, live_policy, scan_for_secrets

from backstay.guard.enforcer import Enforcer
from backstay.guard.gateway.app import Front, build_app
from backstay.guard.gateway.keys import KeyRing
from backstay.guard.gateway.limits import Limits
from backstay.guard.gateway.metrics import Metrics
from backstay.guard.gateway.service import Gateway
from backstay.guard.gateway.settings import checked
from backstay.guard.gateway.upstream import Upstreams
from backstay.guard.mcp.endpoint import mcp_routes
from backstay.guard.mcp.pins import Pins
from backstay.guard.mcp.proxy import McpProxy
from backstay.guard.mcp.settings import McpLimits, McpServerSettings
from backstay.guard.output_plan import PackKinds
from backstay.guard.scans import RememberedScans
from backstay.scan.secrets import secret_pack

PERMIT = """
policy: 1
rules:
  - {id: all, effect: permit, match: {point: model.tool_call}, reason: tests permit every tool}
"""
REDACT = """
policy: 1
rules:
  - id: redact
    effect: permit
    match: {point: [tool.result, retrieval, model.output]}
    obligations: [{redact: {kinds: [secrets]}}]
    reason: no secrets
"""
VERSION = "2025-11-25"
Script = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class RunningMcp:
    """Where the proxy listens, and what was seen."""

    url: str
    log: MemoryLog
    holds: Any
    proxy: McpProxy
    pins: Pins
    loop: LoopThread

    def why(self, rule: str) -> list[tuple[str, str]]:
        """Tool and reason of each row that a rule of the guard's own wrote."""
        return [(r.tool, d.reasons[0]) for r, d in self.log.decisions if d.rules == (rule,)]


@contextlib.contextmanager
def running_mcp(
    app: Any,
    pins: Path,
    *policies: str,
    keys: KeyRing | None = None,
    limits: dict[str, Any] | None = None,
    holds: Any = None,
    gateway: dict[str, Any] | None = None,
    scan: Any = scan_for_secrets,
    **server: Any,
) -> Iterator[RunningMcp]:
    """Serve `app` (an ASGI application, or a script) as the MCP server `far` behind the proxy until the block ends."""
    with LoopThread() as loop:
        url = loop.call(_serve(loop, app)) if not isinstance(app, str) else app
        yield loop.call(_start(loop, url, Pins(pins), policies, keys, limits, holds, gateway, scan, server))


async def _start(
    loop: LoopThread,
    url: str,
    pins: Pins,
    policies: Any,
    keys: Any,
    limits: Any,
    holds: Any,
    gateway: Any,
    scan: Any,
    server: dict[str, Any],
) -> RunningMcp:
    config = checked(
        {"guard": 1, "upstreams": {"main": {"base_url": "http://127.0.0.1:9/v1"}}, **(gateway or {})}, "test"
    )
    log, pack = MemoryLog(), secret_pack()
    holds = holds or NobodyHolds()
    live = live_policy(*(policies or (PERMIT, REDACT)))
    core = Gateway(
        config,
        Enforcer(live, live.histories, log, on_unscanned=config.on_unscanned),
        RememberedScans(scan),
        PackKinds(pack, {rule.kind: "secrets" for rule in pack.rules}),
        holds,
        Upstreams(config, {}),
        Limits(config.limits.in_flight),
        log,
    )
    where = {} if "command" in server else {"url": url}
    proxy = McpProxy(
        core,
        {"far": McpServerSettings(**where, **server)},
        McpLimits(**(limits or {})),
        pins,
        {"FAR_TOKEN": "t0ken"},
    )
    await loop.stack.enter_async_context(proxy)
    front = Front(core, keys, Metrics())
    port = await _uvicorn(loop, build_app(front, mcp_routes(front, proxy)))
    return RunningMcp(f"http://127.0.0.1:{port}/mcp/far", log, holds, proxy, pins, loop)


async def _serve(loop: LoopThread, app: Any) -> str:
    if not asyncio.iscoroutinefunction(app):
        loop.stack.push_async_callback(_stop_watchers)
        return f"http://127.0.0.1:{await _uvicorn(loop, app, lifespan='on')}/mcp"

    async def answer(request: web.Request) -> web.StreamResponse:
        told: web.StreamResponse = await app(request, json.loads(await request.read() or b"{}"))
        return told

    site_app = web.Application(client_max_size=64_000_000)
    site_app.router.add_route("*", "/mcp", answer)
    runner = web.AppRunner(site_app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    loop.stack.push_async_callback(runner.cleanup)
    return f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"


async def _stop_watchers() -> None:
    """sse_starlette leaves a task on the loop that looks for a shutdown twice a second."""
    left = [task for task in asyncio.all_tasks() if "_shutdown_watcher" in repr(task.get_coro())]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _uvicorn(loop: LoopThread, app: Any, lifespan: Any = "off") -> int:
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="critical", lifespan=lifespan, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # it is not the main thread
    task = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.001)

    async def stop() -> None:
        server.should_exit = True
        await task

    loop.stack.push_async_callback(stop)
    return int(server.servers[0].sockets[0].getsockname()[1])


TOOL = {"name": "look", "description": "Looks.", "inputSchema": {"type": "object"}}


def scripted(**answers: Any) -> Script:
    """A server that answers each method with a result, or with what a function of the request's body gives.

    Names of methods are written with `_` for `/`. A list stands for events: all but the last before the answer.
    """

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        method = str(body.get("method", "response")) if request.method == "POST" else request.method
        given = answers.get(method.replace("/", "_"), _USUAL.get(method))
        if callable(given):
            given = given(body)
        if isinstance(given, web.StreamResponse):
            return given
        if "id" not in body or "method" not in body:
            return web.Response(status=202)
        if request.method != "POST" or given is None:
            return web.Response(status=405)
        headers = {"mcp-session-id": "far-session"} if method == "initialize" else {}
        if isinstance(given, list):
            return await events(request, given, body["id"])
        told = given if "jsonrpc" in given else {"jsonrpc": "2.0", "id": body["id"], "result": given}
        return web.json_response(told, headers=headers)

    return answer


_USUAL: dict[str, Any] = {
    "initialize": {
        "protocolVersion": VERSION,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "far", "version": "1"},
    },
    "tools/list": {"tools": [TOOL]},
    "tools/call": {"content": [{"type": "text", "text": "seen"}]},
    "ping": {},
}


async def events(request: web.Request, messages: list[Any], far: Any) -> web.StreamResponse:
    """Answer with events; one without jsonrpc is the result of the request `far`, bytes go out as they are."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for message in messages:
        if isinstance(message, bytes):
            await response.write(message)
            continue
        body = message if "jsonrpc" in message else {"jsonrpc": "2.0", "id": far, "result": message}
        await response.write(b"event: message\ndata: " + json.dumps(body).encode() + b"\n\n")
    return response
