"""The console as an ASGI application: its routes, and what every request passes before them."""

import re
from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backstay import __version__
from backstay.guard.inbox.same_origin import Site
from backstay.web import access, governance, insight_pages, rating_pages
from backstay.web.api import exports, imports, insight, items, projects, rating, webhooks, whoami
from backstay.web.bodies import Body, too_long
from backstay.web.console import Console
from backstay.web.faults import Fault, fault_response, install_faults
from backstay.web.insight.services import install_insight
from backstay.web.openapi import install_openapi, operation_id

API_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
}
"""Of every answer that has none of its own."""

ROUTERS: tuple[APIRouter, ...] = (
    rating.router,
    projects.router,
    items.router,
    insight.router,
    imports.router,
    exports.router,
    webhooks.router,
    whoami.router,
    rating_pages.router,
    *access.ROUTERS,
    *governance.ROUTERS,
    insight_pages.router,
)
_UPLOAD = re.compile(r"/api/v1/projects/[^/]+/imports")
"""The one route that bounds its body itself, once it knows who asks; others are read before that."""

ERRORS = {code: {"model": Fault} for code in (400, 401, 403, 404, 408, 409, 413, 421, 422, 429, 503)}


def build_app(console: Console, routers: Sequence[APIRouter] = ROUTERS) -> FastAPI:
    """The application around an open console."""
    app = FastAPI(
        title="Backstay console",
        version=__version__,
        description="Collecting human feedback: tasks, judgments, raters, disputes, imports and exports.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
        responses=dict(ERRORS),  # type: ignore[arg-type]  # FastAPI wants int | str keys of an invariant dict
        middleware=[Middleware(Front, console=console)],
    )
    app.state.console = console
    app.state.site = Site(console.settings.host, console.settings.origin)
    for router in routers:
        app.include_router(router)
    install_faults(app)
    found = access.install_access(app, console)
    governance.install_governance(app, console)
    install_insight(app, console)
    install_openapi(app, routers, found.cookie)
    return app


class Front:
    """Refuses other hosts' names and bodies without end, and puts the headers on that every answer has."""

    def __init__(self, app: ASGIApp, console: Console) -> None:
        self._app, self._settings = app, console.settings
        self._site = Site(console.settings.host, console.settings.origin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        answer = _with_headers(send)
        if not self._site.is_our_host(headers):
            await fault_response(421, "other_host", "the console is not served under this name")(scope, receive, answer)
            return
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:  # PostgreSQL takes it in no text.
            status, code = (404, "not_found") if "\0" in scope["path"] else (422, "invalid")
            await fault_response(status, code, "an address has no NUL")(scope, receive, answer)
            return
        is_upload = scope["method"] == "POST" and _UPLOAD.fullmatch(scope["path"]) is not None
        length = headers.get("content-length", "0")
        most = self._settings.max_body_bytes
        if not is_upload and length.isdigit() and int(length) > most:
            await fault_response(*too_long(most))(scope, receive, answer)
            return
        body = Body(receive, most, self._settings.body_s, is_upload=is_upload)
        began = False

        async def answering(message: Message) -> None:
            nonlocal began
            if began or body.refusal is None:
                began = True
                await answer(message)

        try:
            await self._app(scope, body.receive, answering)
        except ClientDisconnect:
            if body.refusal is None:
                raise
        if body.refusal is not None and not began:
            await fault_response(*body.refusal)(scope, receive, answer)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            added = [(k.encode(), v.encode()) for k, v in API_HEADERS.items() if k.encode() not in given]
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return sending
