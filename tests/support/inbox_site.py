"""The inbox over a small world of approvals, on a free loopback port, and a client that sends what a browser would."""

import asyncio
import contextlib
import html
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import uvicorn
from approval_world import World, token_of
from guard_gateway import LoopThread
from starlette.applications import Starlette

from backstay.guard.approvals import Current, Settings
from backstay.guard.inbox import inbox_routes
from backstay.guard.ledger import Ledger


@dataclass
class Site:
    """Where the inbox listens, and the approvals behind it."""

    url: str
    world: World
    loop: LoopThread

    def client(self) -> "Client":
        return Client(self.url)


@contextlib.contextmanager
def inbox(
    folder: Path, settings: Settings | None = None, effect: Any = "hold", origin: str = "", *, rechecks: bool = True
) -> Iterator[Site]:
    """Serve until the block ends; `effect` is what policy says of edits."""
    ledger = Ledger.open(folder / "g.db", keys_dir=folder / "keys", max_wait_ms=0.0)
    world = World(folder, settings, (lambda action: Current(effect, action)) if rechecks else None, ledger)
    try:
        with LoopThread() as loop:
            port = loop.call(_serve(loop, world, origin))
            yield Site(f"http://127.0.0.1:{port}", world, loop)
    finally:
        world.close()


async def _serve(loop: LoopThread, world: World, origin: str) -> int:
    stopping = asyncio.Event()
    app = Starlette(
        routes=list(inbox_routes(world.approvals, world.ledger.read, "127.0.0.1", origin, is_stopping=stopping.is_set))
    )
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # it is not the main thread
    task = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.001)

    async def stop() -> None:
        stopping.set()
        server.should_exit = True
        await task

    loop.stack.push_async_callback(stop)
    return int(server.servers[0].sockets[0].getsockname()[1])


@dataclass
class Page:
    """An answer."""

    status: int
    text: str
    headers: dict[str, str]
    cookies: list[str]

    def field(self, name: str, within: str = "") -> str:
        """The value of a hidden field, in the form with this id."""
        text = self.text[self.text.index(f'id="{within}"') :] if within else self.text
        found = re.search(rf'name="{name}" value="([^"]*)"', text)
        assert found is not None, name
        return html.unescape(found[1])


@dataclass
class Client:
    """Sends what a browser would: a cookie, an Origin, no redirects followed."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Page:
        return self._send("GET", path, None, headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Page:
        given = {"origin": self.url, "content-type": "application/x-www-form-urlencoded"} | headers
        return self._send("POST", path, urlencode(fields).encode(), given)

    def sign_in(self, name: str) -> "Client":
        page = self.post("/approvals/sign-in", {"person": name, "token": token_of(name)})
        assert page.status == 303, page.text
        return self

    def decide(self, approval_id: str, vote: str, reason: str = "", **changes: str) -> Page:
        """Look at the page of an approval and send its form."""
        return self.post(
            f"/approvals/{approval_id}/decide", self.form(approval_id) | {"vote": vote, "reason": reason} | changes
        )

    def form(self, approval_id: str) -> dict[str, str]:
        page = self.get(f"/approvals/{approval_id}")
        return {name: page.field(name, "main") for name in ("digest", "key")} | {
            "form": page.field("form", "decision-title")
        }

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Page:
        with ThreadPoolExecutor(1) as thread:  # a browser under test has a loop of its own in this one
            return thread.submit(lambda: asyncio.run(self._sent(method, path, body, headers))).result()

    async def _sent(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Page:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, self.url + path, data=body, headers=given, allow_redirects=False) as answer,
        ):
            raw = answer.headers.getall("set-cookie", [])
            for cookie in raw:
                for name, morsel in SimpleCookie(cookie).items():
                    self.cookies[name] = morsel.value
            return Page(answer.status, await answer.text(), {k.lower(): v for k, v in answer.headers.items()}, raw)
