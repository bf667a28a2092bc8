"""The gateway as a process: it listens, tends policy, keys and approvals, and stops without cutting answers off."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import uvicorn
from starlette.routing import Route

from backstay.errors import BackstayError, ResourceError
from backstay.guard.approvals import WebhookWorker
from backstay.guard.gateway.app import build_app
from backstay.guard.gateway.approval_routes import approval_routes
from backstay.guard.gateway.assembly import Parts, assembled
from backstay.guard.gateway.connections import BoundedProtocol
from backstay.guard.gateway.feedback_routes import feedback_routes
from backstay.guard.gateway.scanning import check_kinds
from backstay.guard.gateway.settings import GuardSettings
from backstay.guard.inbox import inbox_routes
from backstay.guard.mcp.endpoint import mcp_routes

SWEEP_S = 1.0
BACKLOG = 2048
_log = logging.getLogger("backstay.guard")


class Server:
    """One gateway; `run` returns when it has been told to stop and every answer has ended."""

    def __init__(self, settings: GuardSettings, home: Path, environment: Mapping[str, str]) -> None:
        self._settings, self._home, self._environment = settings, home, environment
        self._stopping = asyncio.Event()

    async def run(self, ready: Callable[[str, Parts], None]) -> None:
        """Serve; `ready` is called with the address once requests are taken. Raises before that where it cannot."""
        listener = listen(self._settings.host, self._settings.port)
        with contextlib.closing(listener):
            async with assembled(self._settings, self._home, self._environment) as parts:
                server = _uvicorn(parts, self._settings.limits.drain_s)
                note_policy(parts)
                serving = asyncio.ensure_future(server.serve(sockets=[listener]))
                tending = asyncio.ensure_future(self._tend(parts))
                with self._signals(parts):
                    await _started(server, serving)
                    host, port = listener.getsockname()[:2]
                    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}", parts)
                    await asyncio.wait(
                        [serving, tending, asyncio.ensure_future(self._stopping.wait())],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    parts.front.draining = True
                    parts.mcp.end_streams()
                    server.should_exit = True
                    await serving
                tending.cancel()
                await asyncio.wait([tending])
                if not tending.cancelled() and (error := tending.exception()) is not None:
                    raise error

    def stop(self) -> None:
        """End: no new requests, running answers may end within `drain_s`."""
        self._stopping.set()

    @contextlib.contextmanager
    def _signals(self, parts: Parts) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers: dict[signal.Signals, Callable[[], object]] = {
            signal.SIGINT: self.stop,
            signal.SIGTERM: self.stop,
            signal.SIGHUP: lambda: loop.run_in_executor(None, parts.live.reload),
        }
        try:
            for number, handler in handlers.items():
                loop.add_signal_handler(number, handler)
        except (ValueError, RuntimeError):
            yield  # Not the main thread: whoever started it stops it.
            return
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    async def _tend(self, parts: Parts) -> None:
        """Look for a changed policy and changed keys, and let approvals expire, until cancelled."""
        webhook = WebhookWorker(parts.ledger, parts.webhooks) if parts.webhooks else None
        looked_s = 0.0
        while True:
            await asyncio.sleep(SWEEP_S)
            looked_s += SWEEP_S
            try:
                if self._settings.reload_s and looked_s >= self._settings.reload_s:
                    looked_s = 0.0
                    if await asyncio.to_thread(parts.live.poll):
                        note_policy(parts)
                        check_kinds(parts.live.bundle, self._settings.scan)
                    if parts.keys is not None:
                        await asyncio.to_thread(parts.keys.refresh)
                await asyncio.to_thread(parts.holds.approvals.sweep)
                if webhook is not None:
                    await asyncio.to_thread(webhook.deliver)
            except BackstayError as error:
                _log.error("looking after the gateway: %s", error)


def note_policy(parts: Parts) -> None:
    """Write into the journal which policy decides from now on."""
    status = parts.live.status
    row = {"hash": status.hash, "loaded_at": status.loaded_at, "last_good": status.from_last_good}
    parts.ledger.append("guard.bundle", row | {"rules": [rule.rule.id for rule in parts.live.bundle.rules]}).result()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises ResourceError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ResourceError(f"cannot listen on {host}:{port}: {error.strerror}", cure="give another port") from error
    listener.setblocking(False)
    return listener


def _uvicorn(parts: Parts, drain_s: float) -> uvicorn.Server:
    config = uvicorn.Config(
        build_app(
            parts.front,
            [
                *approval_routes(parts.front, parts.holds),
                *mcp_routes(parts.front, parts.mcp),
                *feedback_routes(parts.front, parts.harvest),
                *_inbox(parts),
            ],
        ),
        log_level="warning",
        access_log=False,
        lifespan="off",
        http=BoundedProtocol,
        loop="none",
        server_header=False,
        timeout_graceful_shutdown=int(drain_s) or None,
        timeout_keep_alive=30,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]  # `Server` handles them
    return server


def _inbox(parts: Parts) -> list[Route]:
    host, origin = parts.settings.host, parts.settings.holds.inbox_origin
    return inbox_routes(parts.holds.approvals, parts.ledger.read, host, origin, lambda: parts.front.draining)


async def _started(server: uvicorn.Server, serving: "asyncio.Future[None]") -> None:
    while not server.started:
        if serving.done():
            await serving
            raise ResourceError("the server ended before it began")
        await asyncio.sleep(0.005)
