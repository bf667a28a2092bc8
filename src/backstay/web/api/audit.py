"""The journal of what people did in the console."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from backstay.web.accounts import audit_log
from backstay.web.api.paging import Limit
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
    """A page of acts, the newest first; `next` is the `after` of the next page, null at the end."""

    acts: list[ActOut]
    next: int | None


@router.get("")
async def list_acts(
    _: Annotated[Principal, Depends(allowed(Permission.READ_AUDIT))],
    console: Annotated[Console, Depends(console_of)],
    kind: Annotated[str, Query(max_length=40, pattern=r"^[a-z0-9_.-]*$")] = "",
    by: Annotated[str, Query(max_length=50, pattern=r"^[A-Za-z0-9:_-]*$")] = "",
    after: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    limit: Limit = 100,
) -> Acts:
    """What people did, by kind and by account."""
    found, more = await console.read(lambda c: audit_log.acts(c, after=after, kind=kind, by=by, most=limit))
    return Acts(
        acts=[ActOut(seq=act.seq, kind=act.kind, payload=act.payload, hash=act.hash) for act in found], next=more
    )
