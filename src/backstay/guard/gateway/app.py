"""The gateway as an ASGI application: routes, keys, bodies, and clients that go away."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from backstay.errors import BackstayError
from backstay.guard.addresses import is_loopback
from backstay.guard.gateway.faults import ApiFault, unavailable
from backstay.guard.gateway.keys import LOCAL, KeyRing, Principal
from backstay.guard.gateway.metrics import Metrics
from backstay.guard.gateway.outcome import Asked
from backstay.guard.gateway.requests import Api
from backstay.guard.gateway.service import Gateway
from backstay.guard.gateway.sse import event_bytes
from backstay.guard.gateway.upstream import UpstreamRefused

SESSION_HEADER = "x-backstay-session"
TRACE_HEADERS = ("traceparent", "tracestate")
APPROVAL_HEADER = "x-backstay-approval"
MAX_SESSION = 200
Headers = Mapping[str, str]


class Front:
    """What every route needs: who asks, and whether the gateway still takes requests."""

    def __init__(self, gateway: Gateway, keys: KeyRing | None, metrics: Metrics) -> None:
        self.gateway, self.keys, self.metrics = gateway, keys, metrics
        self.draining = False
        self.observe: Callable[[], None] = lambda: None
        """Brings figures up to date that are looked at and not counted."""

    def principal(self, headers: Headers, origins: tuple[str, ...] = ()) -> Principal:
        """Who asks; raises ApiFault 401, or 403 for a page of another site where no keys are needed."""
        if self.keys is not None:
            return self.keys.principal(headers.get("authorization"))
        refuse_other_sites(headers, origins)
        return LOCAL

    def open(self) -> None:
        """Raises ApiFault 503 once the gateway is being stopped."""
        if self.draining:
            raise unavailable("the gateway is being stopped")


def refuse_other_sites(headers: Headers, origins: tuple[str, ...]) -> None:
    """Browsers on this machine carry out what pages of other sites say; raises ApiFault 403 for their requests."""
    origin = headers.get("origin", "//localhost")
    for name, value in (("host", f"//{headers.get('host', '')}"), ("origin", origin)):
        try:
            host = urlsplit(value).hostname or ""
        except ValueError:
            host = ""
        if not is_loopback(host) and not (name == "origin" and origin in origins):
            raise ApiFault(
                403, "denied", f"without keys only this machine is served, and the header {name} names another"
            )


class ModelEndpoint:
    """POST of one API; streams its answer, and stops the work when the client goes away."""

    def __init__(self, front: Front, api: Api) -> None:
        self._front, self._api = front, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["method"] != "POST":
            await _fault_response(ApiFault(405, "bad_request", "only POST"))(scope, receive, send)
            return
        reply = _Reply(send)
        try:
            await self._served(Request(scope, receive), receive, reply)
        except ApiFault as fault:
            await self._told(fault, reply)

    async def _served(self, request: Request, receive: Receive, reply: "_Reply") -> None:
        self._front.open()
        principal = self._front.principal(request.headers)
        limits = self._front.gateway.settings.limits
        with self._front.gateway.limits.read(principal):
            raw = await read_body(request, limits.body_bytes, limits.body_s)
        asked = Asked(
            request.headers.get(SESSION_HEADER, "")[:MAX_SESSION],
            request.headers.get(APPROVAL_HEADER, "").partition(",")[0].strip()[:MAX_SESSION],
            wait_of(request.headers, self._front.gateway.settings.holds.wait_s),
            {name: request.headers[name] for name in TRACE_HEADERS if name in request.headers},
        )
        work = asyncio.ensure_future(self._front.gateway.serve(self._api, raw, principal, asked, reply))
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.done() and not reply.ended:  # What follows the last byte concerns the journal, not the client.
                work.cancel()
            await asyncio.wait([work])
        if not work.cancelled():
            work.result()

    async def _told(self, fault: ApiFault, reply: "_Reply") -> None:
        if isinstance(fault, UpstreamRefused) and fault.detail:
            findings = self._front.gateway.scans.findings(fault.detail, "model.output")
            fault.message += f": {fault.detail}" if not findings else ": (its message is withheld)"
        if not reply.begun:
            headers = {"content-type": "application/json"} | fault.headers
            await reply(fault.status, headers, fault.body(), False)
        elif not reply.ended:
            await reply(200, {}, event_bytes(fault.body()), False)


class _Reply:
    """An answer as ASGI messages: the first call begins it, the one without `more` ends it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = self.ended = False

    async def __call__(self, status: int, headers: Headers, body: bytes, more: bool) -> None:
        self.ended = not more
        if not self.begun:
            raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
            if not more:
                raw.append((b"content-length", str(len(body)).encode()))
            self.begun = True
            await self._send({"type": "http.response.start", "status": status, "headers": raw})
            if more and not body:
                return
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        self.ended = not more


def wait_of(headers: Headers, most_s: float) -> float:
    """Seconds that a client waits for an approval (RFC 7240, `Prefer: wait=N`), at most what the operator allows."""
    for preference in headers.get("prefer", "").split(","):
        name, _, value = preference.strip().partition("=")
        if name.lower() == "wait" and value.isascii() and value.isdigit():
            return min(float(value[:6]), most_s)
    return 0.0


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def read_body(request: Request, most: int, within_s: float) -> bytes:
    """The whole body; raises ApiFault 413 for a longer one before it is read whole, 408 for one that does not come."""
    try:
        async with asyncio.timeout(within_s):
            return await _body(request, most)
    except TimeoutError as error:
        raise ApiFault(408, "bad_request", f"the body did not come within {within_s:g} s") from error
    except ClientDisconnect as error:
        raise ApiFault(400, "bad_request", "the client left before its body was there") from error


async def _body(request: Request, most: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > most:
        raise ApiFault(413, "too_large", f"the body has {declared} bytes; at most {most} are taken")
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise ApiFault(413, "too_large", f"the body has more than {most} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def guarded(
    front: Front, handler: Callable[[Request, Principal], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """A route whose faults are answers, and which knows who asks."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request, front.principal(request.headers))
        except ApiFault as fault:
            return _fault_response(fault)
        except BackstayError as error:
            return _fault_response(unavailable(error.message))

    return answer


def json_response(value: Any, status: int = 200, headers: Headers | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(value), status, headers=dict(headers or {}), media_type="application/json")


def _fault_response(fault: ApiFault) -> Response:
    return Response(fault.body(), fault.status, headers=fault.headers, media_type="application/json")


def build_app(front: Front, more: list[Route] | None = None) -> Starlette:
    """The application; `more` are routes of other parts, such as approvals."""

    async def health(_: Request) -> Response:
        return json_response({"status": "draining" if front.draining else "ok"}, 503 if front.draining else 200)

    async def metrics(_: Request, __: Principal) -> Response:
        front.observe()
        return PlainTextResponse(front.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def models(_: Request, principal: Principal) -> Response:
        names = [p for u in front.gateway.upstreams.every for p in u.settings.models if "*" not in p and "?" not in p]
        allowed = [name for name in dict.fromkeys(names) if principal.may_use("models", name)]
        rows = [{"id": name, "object": "model", "created": 0, "owned_by": "backstay"} for name in allowed]
        return json_response({"object": "list", "data": rows})

    routes: list[Route] = [
        Route("/health", health),
        Route("/metrics", guarded(front, metrics)),
        Route("/v1/models", guarded(front, models)),
        Route("/v1/chat/completions", ModelEndpoint(front, "chat")),
        Route("/v1/completions", ModelEndpoint(front, "completions")),
        Route("/v1/responses", ModelEndpoint(front, "responses")),
        *(more or []),
    ]

    async def unknown(request: Request, _: Exception) -> Response:
        paths = ", ".join(route.path for route in routes)
        return _fault_response(
            ApiFault(404, "not_found", f"{request.url.path} is not guarded and not served; {paths} are")
        )

    return Starlette(routes=routes, exception_handlers={404: unknown})
