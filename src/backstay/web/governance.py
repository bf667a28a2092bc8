"""Puts what people decide into the application: the routes of the API, the pages, and errors as pages."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backstay.errors import BackstayError
from backstay.web import governance_pages
from backstay.web.api import adjudications, drafts, gold, proposals, verify
from backstay.web.console import Console
from backstay.web.verification import Verification

ROUTERS: tuple[APIRouter, ...] = (
    adjudications.router,
    drafts.router,
    gold.router,
    proposals.router,
    verify.router,
    *governance_pages.ROUTERS,
)
Handler = Callable[[Request, Any], Response | Awaitable[Response]]


def install_governance(app: FastAPI, console: Console) -> None:
    """Set what the routes ask of the application, and show people errors as pages."""
    app.state.verification = Verification(console)
    for kind in (BackstayError, RequestValidationError, HTTPException):
        app.exception_handlers[kind] = _as_page(app.exception_handlers[kind])


def _as_page(as_json: Handler) -> Handler:
    async def handle(request: Request, error: Exception) -> Response:
        given = as_json(request, error)
        answer = given if isinstance(given, Response) else await given
        wants_json = request.url.path.startswith(("/api/", "/assets/"))
        return answer if wants_json else await governance_pages.told(request, error, answer.status_code)

    return handle
