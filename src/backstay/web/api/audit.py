"""The journal of what people did in the console."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from backstay.web.accounts import audit_log
from backstay.web.console import Console
from backstay.web.gate import Principal, allowed, console_of
from backstay.web.permissions import Permission

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])


class ActOut(BaseModel):
    """One act: its place in the journal, its kind, what the journal holds of it, and its hash in the chain."""

    seq: int
    kind: str
    payload: dict[str, Any]
    hash: str


class Acts(BaseModel):
    """Acts, the newest first; `before` begins the next page, null at the end."""

    acts: list[ActOut]
    before: int | None


@router.get("")
async def list_acts(
    _: Annotated[Principal, Depends(allowed(Permission.READ_AUDIT))],
    console: Annotated[Console, Depends(console_of)],
    kind: Annotated[str, Query(max_length=40, pattern=r"^[a-z0-9_.-]*$")] = "",
    by: Annotated[str, Query(max_length=50, pattern=r"^[A-Za-z0-9:_-]*$")] = "",
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    most: Annotated[int, Query(ge=1, le=audit_log.MOST)] = 50,
) -> Acts:
    """What people did, by kind and by account."""
    found, more = await console.read(lambda c: audit_log.acts(c, before=before, kind=kind, by=by, most=most))
    return Acts(
        acts=[ActOut(seq=act.seq, kind=act.kind, payload=act.payload, hash=act.hash) for act in found], before=more
    )
