"""Errors as the API tells them: a code for programs, a message and a cure for people, never a traceback."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from backstay.errors import BackstayError, ImportRefused, ResourceError, UsageError
from backstay.feedback.collection import Rejected

STATUS = {"not_found": 404, "does_not_fit": 422}
"""Status of a rejection by code; 409 for the others."""

_CODES = {400: "bad_request", 401: "sign_in", 403: "forbidden", 404: "not_found", 405: "method", 413: "too_large"}
_log = logging.getLogger("backstay.web")


class FieldFault(BaseModel):
    """What is wrong in one place of a request."""

    place: str
    message: str


class FaultBody(BaseModel):
    """One error."""

    code: str
    message: str
    cure: str = ""
    fields: list[FieldFault] = []


class Fault(BaseModel):
    """Every answer that is an error."""

    error: FaultBody


class ApiFault(Exception):
    """An error that a route tells as it is."""

    def __init__(
        self, status: int, code: str, message: str, cure: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.cure, self.headers = status, code, message, cure, headers or {}


def fault_response(
    status: int,
    code: str,
    message: str,
    cure: str = "",
    fields: Sequence[FieldFault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as JSON."""
    body = Fault(error=FaultBody(code=code, message=message, cure=cure, fields=list(fields)))
    return JSONResponse(body.model_dump(), status, headers=dict(headers or {}))


def told(error: BackstayError) -> tuple[int, str]:
    """Status and code of an error of ours."""
    if isinstance(error, Rejected):
        return STATUS.get(error.code, 409), error.code
    if isinstance(error, ImportRefused):
        return 422, "import_refused"
    if isinstance(error, UsageError):
        return 400, "bad_request"
    return (503, "unavailable") if isinstance(error, ResourceError) else (500, "internal")


def install_faults(app: FastAPI) -> None:
    """Answer errors as above."""

    async def _fault(_: Request, error: Exception) -> Response:
        if not isinstance(error, ApiFault):
            raise error
        return fault_response(error.status, error.code, error.message, error.cure, headers=error.headers)

    async def _ours(request: Request, error: Exception) -> Response:
        if not isinstance(error, BackstayError):
            raise error
        status, code = told(error)
        if status >= 500:
            # By its route: an address may hold a link that has yet to be used.
            route = getattr(request.scope.get("route"), "path", "an address without a route")
            _log.error("%s %s: %s", request.method, route, error)
        where = error.place if isinstance(error, Rejected) else ""
        place = [FieldFault(place=where, message=error.message)] if where else []
        return fault_response(status, code, error.message, error.cure or "", place)

    async def _invalid(_: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        return fault_response(422, "invalid", "the request does not fit", fields=_fields(error.errors()))

    async def _http(_: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        code = _CODES.get(error.status_code, "refused")
        return fault_response(error.status_code, code, str(error.detail), headers=error.headers)

    app.add_exception_handler(ApiFault, _fault)
    app.add_exception_handler(BackstayError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def _fields(errors: Sequence[Any]) -> list[FieldFault]:
    """The first 20; what was sent is not repeated, since it may be a password."""
    return [
        FieldFault(place=".".join(map(str, error["loc"]))[:200], message=str(error["msg"])[:300])
        for error in errors[:20]
    ]
