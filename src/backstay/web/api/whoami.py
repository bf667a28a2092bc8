"""Whether the console answers, and who it takes the caller for."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse

from backstay.web.api import shapes
from backstay.web.gate import Principal, allowed, public
from backstay.web.permissions import Permission

router = APIRouter(prefix="/api/v1", tags=["about"])
Anybody = Annotated[Principal, Depends(allowed(*Permission))]


@router.get("/healthz", response_model=shapes.Health, dependencies=[Depends(public())])
async def get_health() -> JSONResponse:
    """Whether the console takes requests."""
    return JSONResponse({"status": "ok"})


@router.get("/me", response_model=shapes.Caller)
async def get_me(who: Anybody) -> JSONResponse:
    """Who the caller is, and what they may do."""
    return JSONResponse(
        {
            "account_id": who.account_id,
            "name": who.name,
            "role": who.role.value,
            "via": who.via,
            "permissions": sorted(who.permissions),
            "projects": None if who.projects is None else sorted(who.projects),
            "rater_id": who.rater_id if who.may(Permission.RATE) else None,
        }
    )
