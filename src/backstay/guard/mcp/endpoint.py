"""`/mcp/{server}`: bodies, keys, and protection from pages of other origins; a client that goes away stops the work."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from backstay.guard.addresses import is_loopback
from backstay.guard.gateway.app import MAX_SESSION, SESSION_HEADER, Front, read_body, wait_of
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.mcp.proxy import McpProxy, Visitor
from backstay.guard.mcp.replies import ClientReply

METHODS = ("POST", "GET", "DELETE")
MAX_HEADER = 8192


class McpEndpoint:
    """The ASGI application of the proxy."""

    def __init__(self, front: Front, proxy: McpProxy) -> None:
        self._front, self._proxy = front, proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        request = Request(scope, receive)
        sender = _Sender(send)
        reply = ClientReply(sender, streams="text/event-stream" in request.headers.get("accept", ""))
        try:
            await self._served(request, receive, reply)
        except ApiFault as fault:
            if not sender.begun:
                headers = {"content-type": "application/json"} | fault.headers
                await sender(fault.status, headers, fault.body(), False)

    async def _served(self, request: Request, receive: Receive, reply: ClientReply) -> None:
        self._front.open()
        if request.method not in METHODS:
            raise ApiFault(405, "bad_request", f"only {', '.join(METHODS)}", headers={"allow": ", ".join(METHODS)})
        check_origin(request.headers, self._front.gateway.settings.host, self._proxy.limits.origins)
        principal = self._front.principal(request.headers, self._proxy.limits.origins)
        wait_s = wait_of(request.headers, self._front.gateway.settings.holds.wait_s)
        visitor = Visitor(principal, request.headers.get(SESSION_HEADER, "")[:MAX_SESSION], wait_s)
        name, headers = request.path_params["server"], _once(request)
        raw = await self._body(request) if request.method == "POST" else b""
        if request.method == "POST":
            work = asyncio.ensure_future(self._proxy.post(name, headers, raw, visitor, reply))
        elif request.method == "GET":
            work = asyncio.ensure_future(self._proxy.get(name, headers, visitor, reply))
        else:
            work = asyncio.ensure_future(self._proxy.delete(name, headers, visitor, reply))
        await _until_done_or_gone(work, receive)

    async def _body(self, request: Request) -> bytes:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiFault(415, "bad_request", "the content type is not application/json")
        accepted = request.headers.get("accept", "*/*")
        if not any(one in accepted for one in ("application/json", "application/*", "*/*")):
            raise ApiFault(406, "bad_request", "Accept names neither application/json nor anything else that is given")
        limits = self._front.gateway.settings.limits
        return await read_body(request, self._proxy.limits.message_bytes, limits.body_s)


class _Sender:
    """ASGI messages: the first call begins the answer, the one without `more` ends it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, status: int, headers: Mapping[str, str], body: bytes, more: bool) -> None:
        if not self.begun:
            raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
            self.begun = True
            await self._send({"type": "http.response.start", "status": status, "headers": raw})
            if more and not body:
                return
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


async def _until_done_or_gone(work: "asyncio.Future[None]", receive: Receive) -> None:
    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    left = asyncio.ensure_future(gone())
    try:
        await asyncio.wait([work, left], return_when=asyncio.FIRST_COMPLETED)
    finally:
        left.cancel()
        if not work.done():
            work.cancel()
        await asyncio.wait([work])
    if not work.cancelled():
        work.result()


def check_origin(headers: Mapping[str, str], listening: str, origins: tuple[str, ...]) -> None:
    """Raises ApiFault 403 for a page that may not ask, and for a name that was bent to this machine (DNS rebinding)."""
    local = is_loopback(listening)
    if local and not _is_local("//" + headers.get("host", "")):
        raise ApiFault(403, "denied", "the gateway listens on this machine only, and the Host header names another")
    origin = headers.get("origin")
    if origin is None or origin in origins or (local and _is_local(origin)):
        return
    raise ApiFault(403, "denied", "pages of this origin may not ask; mcp_limits.origins names those that may")


def _is_local(address: str) -> bool:
    try:
        return is_loopback(urlsplit(address).hostname or "")
    except ValueError:
        return False


def _once(request: Request) -> dict[str, str]:
    """Headers by name; raises ApiFault 400 for one of the protocol's that stands there twice."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        if name.startswith("mcp-") and name in found:
            raise ApiFault(400, "bad_request", f"the header {name} stands there twice")
        if name.startswith("mcp-") and len(value) > MAX_HEADER:
            raise ApiFault(400, "bad_request", f"the header {name} is too long")
        found[name] = value
    return found


def mcp_routes(front: Front, proxy: McpProxy) -> list[Route]:
    """The routes for `build_app`."""
    return [Route("/mcp/{server}", McpEndpoint(front, proxy))]
