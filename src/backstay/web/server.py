"""The console as a process: it listens, ends leases, keeps trust fresh, sends webhooks, and stops in order."""

import asyncio
import contextlib
import gc
import logging
import math
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from fastapi import FastAPI

from backstay.errors import BackstayError
from backstay.feedback.collection import expire
from backstay.guard.gateway.server import listen
from backstay.storage.engine import look_at_tables
from backstay.web.app import build_app
from backstay.web.console import Console
from backstay.web.resettling import resettle
from backstay.web.trust import TrustRefresh
from backstay.web.webhooks.delivering import Deliveries

SWITCH_S = 0.0005
"""How long a thread of Python keeps the others waiting: the writer comes back from the database many times an answer,
and with the usual 5 ms would wait for readers each time."""

LOOK_S = 3600.0
"""How often the database looks how its tables are filled."""

YOUNG_OBJECTS = 10_000
"""Objects made since the last walk at which the collector walks the newest ones; Python's own number is 700."""

_log = logging.getLogger("backstay.web")


async def serve(console: Console, ready: Callable[[str], None], stopping: asyncio.Event | None = None) -> None:
    """Serve until a signal or `stopping` ends it; `ready` is called with the address once requests are taken."""
    sys.setswitchinterval(SWITCH_S)
    stop = stopping or asyncio.Event()
    settings = console.settings
    listener = listen(settings.host, settings.port)
    with contextlib.closing(listener):
        app = build_app(console)
        server = uvicorn.Server(_config(app, console))
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        trust = app.state.insight.trust
        works = (_look(console), _sweep(console, trust), _follow(console), Deliveries(console).run())
        working = [asyncio.ensure_future(work) for work in works]
        with _signals(stop):
            while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn has no event for it
                await asyncio.sleep(0.01)
            _settle_memory()
            host, port = listener.getsockname()[:2]
            ready(settings.origin or f"http://{f'[{host}]' if ':' in host else host}:{port}")
            await asyncio.wait([serving, asyncio.ensure_future(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            await serving
        for task in working:
            task.cancel()
        await asyncio.wait(working)
        await trust.close()
        app.state.accounts.close()


def _settle_memory() -> None:
    """Take what is loaded by now, which stays, out of what the collector walks, and let it walk the rest less often.

    Each walk stops every answer, over all objects for longer than an answer takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)


def _config(app: FastAPI, console: Console) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_keep_alive=75,  # Longer than somebody reads a task: a new connection for each would cost a round trip.
        timeout_graceful_shutdown=int(console.settings.drain_s),
    )


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        for number in numbers:
            loop.add_signal_handler(number, stop.set)
    except (ValueError, RuntimeError):
        yield  # Not the main thread: whoever started it stops it.
        return
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _sweep(console: Console, trust: TrustRefresh) -> None:
    while True:
        await asyncio.sleep(console.settings.sweep_s)
        for task, work in (("ending leases", console.write(expire)), ("keeping trust fresh", trust.tend())):
            await _try(task, work)


async def _look(console: Console) -> None:
    while True:
        await _try("looking at the tables", console.write(lambda unit: look_at_tables(unit.connection)))
        await asyncio.sleep(LOOK_S)


async def _follow(console: Console) -> None:
    """Carry changes of settings through that whoever made them, or a process that ended, left undone."""
    while True:
        await asyncio.sleep(console.settings.sweep_s)
        await _try("settling items anew", resettle(console, math.inf))


async def _try(task: str, work: Awaitable[object]) -> None:
    """Run it; whatever goes wrong is logged, and tried again the next time."""
    try:
        await work
    except BackstayError as error:
        _log.error("%s: %s", task, error)
    except Exception:  # noqa: BLE001  a loop that ended would leave leases open for good
        _log.exception("%s", task)
