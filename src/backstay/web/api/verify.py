"""Verifying the journal: the chain, its seals and every table."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from backstay.feedback.collection.submission import iso_time
from backstay.web.api import shapes_decisions as shapes
from backstay.web.api.deciding import Overseer
from backstay.web.shown import Json
from backstay.web.verification import Verification, Walk

router = APIRouter(prefix="/api/v1/audit/verify", tags=["audit"])


@router.post("", status_code=202, response_model=shapes.LastWalk)
async def post_verify(request: Request, who: Overseer) -> JSONResponse:
    """Begin a walk over the whole journal; GET tells what it found."""
    return JSONResponse({"walk": walk_json(await verification_of(request).start(who.account_id))}, 202)


@router.get("", response_model=shapes.LastWalk)
async def get_verify(request: Request, _: Overseer) -> JSONResponse:
    """The last walk, or null."""
    return JSONResponse({"walk": walk_json(verification_of(request).last)})


def verification_of(request: Request) -> Verification:
    """The walks of the application."""
    found = request.app.state.verification
    assert isinstance(found, Verification)  # noqa: S101  a mistake in setting up the application, not of a request
    return found


def walk_json(walk: Walk | None) -> Json | None:
    """A walk as JSON data."""
    if walk is None:
        return None
    ended = iso_time(walk.ended_ms) if walk.ended_ms else None
    told = {"by": walk.by, "started_at": iso_time(walk.started_ms), "ended_at": ended}
    return told | {"entries": walk.entries, "sealed_entries": walk.sealed_entries, "broken": walk.broken}
