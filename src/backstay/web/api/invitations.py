"""Invitations: links that make one account each."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from backstay.feedback.collection.submission import iso_time
from backstay.web.accounts import invitations
from backstay.web.accounts.invitations import Invitation
from backstay.web.api.accounts import Projects
from backstay.web.api.texts import Body, Line
from backstay.web.console import Console
from backstay.web.gate import Principal, accounts_of, allowed, console_of
from backstay.web.permissions import Permission, Role

router = APIRouter(prefix="/api/v1/invitations", tags=["accounts"])
Admin = Annotated[Principal, Depends(allowed(Permission.MANAGE_ACCOUNTS))]
Here = Annotated[Console, Depends(console_of)]


class NewInvitation(Body):
    """Who is invited: a role, and the projects that are open to them (null: all). The note is for admins."""

    role: Annotated[Role, Field(strict=False)]
    projects: Projects | None = None
    note: Line = ""


class InvitationOut(BaseModel):
    """An invitation or link for a new password that still holds."""

    id: str
    purpose: str
    role: str
    projects: list[str] | None
    note: str
    made_by: str
    expires_at: str


class InvitationMade(InvitationOut):
    """A new invitation; `path`, behind the console's address, is shown this once."""

    path: str


class Invitations(BaseModel):
    """Those that still hold."""

    invitations: list[InvitationOut]


@router.get("")
async def list_invitations(_: Admin, console: Here) -> Invitations:
    """Invitations that still hold."""
    now_ms = console.clock()
    found = await console.read(lambda c: invitations.listed(c, now_ms))
    return Invitations(invitations=[InvitationOut(**_fields(one)) for one in found])


@router.post("", status_code=201)
async def invite(body: NewInvitation, who: Admin, console: Here, request: Request) -> InvitationMade:
    """Invite somebody."""
    settings = accounts_of(request).settings
    projects = None if body.projects is None else tuple(body.projects)
    made, secret = await console.write(
        lambda unit: invitations.invite(unit, settings, who, body.role, projects, body.note)
    )
    return InvitationMade(**_fields(made), path=f"/join/{secret}")


@router.delete("/{invitation}", status_code=204)
async def withdraw(
    invitation: Annotated[str, Path(pattern=r"^[0-9a-f-]{1,36}$")], who: Admin, console: Here
) -> Response:
    """End an invitation before it is used."""
    await console.write(lambda unit: invitations.withdraw(unit, who, invitation))
    return Response(status_code=204)


def _fields(one: Invitation) -> dict[str, object]:
    return {
        "id": one.id,
        "purpose": one.purpose,
        "role": one.role.value,
        "projects": None if one.projects is None else list(one.projects),
        "note": one.note,
        "made_by": one.made_by,
        "expires_at": iso_time(one.expires_ms),
    }
