"""The page of invitations: links that make one account each."""

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from backstay.errors import UsageError
from backstay.feedback.collection.submission import iso_time
from backstay.storage.unit import Unit
from backstay.web.accounts import invitations
from backstay.web.accounts.invitations import Invitation
from backstay.web.admin_pages.frame import Did, Id, address_of, chosen_projects, one_line, page, projects_by_id
from backstay.web.api.accounts import Admin, Here
from backstay.web.api.deciding import names_of
from backstay.web.gate import accounts_of
from backstay.web.governance_pages.frame import fields_of, or_back
from backstay.web.pages import see
from backstay.web.permissions import Role

router = APIRouter(prefix="/admin/invitations", include_in_schema=False)
HOME = "/admin/invitations"


@router.get("")
async def invited(request: Request, _: Admin, console: Here, did: Did = "") -> Response:
    """Invitations that still hold, and the form of a new one."""
    return await _page(request, console, did=did)


@router.post("")
async def invite(request: Request, who: Admin, console: Here) -> Response:
    """{role, reach, project.ID ..., note}: an invitation, whose link is shown on the page that answers."""
    fields, settings = await fields_of(request), accounts_of(request).settings

    def work(unit: Unit) -> tuple[Invitation, str]:
        role = next((role for role in Role if role.value == fields.get("role")), None)
        if role is None:
            raise UsageError("that is no role", cure="choose one from the list")
        chosen = chosen_projects(fields, list(projects_by_id(unit.connection)))
        return invitations.invite(unit, settings, who, role, chosen, one_line(fields, "note"))

    made, secret = await or_back(HOME, console.write(work))
    return await _page(request, console, link=address_of(request, f"/join/{secret}"), made=made)


@router.post("/{invitation}/revoke")
async def revoke(invitation: Id, who: Admin, console: Here) -> Response:
    """End an invitation before it is used."""
    await or_back(HOME, console.write(lambda unit: invitations.withdraw(unit, who, invitation)))
    return see(f"{HOME}?did=revoked")


async def _page(
    request: Request, console: Here, *, did: str = "", link: str = "", made: Invitation | None = None
) -> Response:
    now_ms = console.clock()

    def query(connection: Connection) -> dict[str, Any]:
        found = invitations.listed(connection, now_ms)
        return {
            "invited": [(one, iso_time(one.expires_ms)) for one in found],
            "names": names_of(connection, [one.made_by for one in found]),
            "projects": projects_by_id(connection),
        }

    until = iso_time(made.expires_ms) if made else ""
    told = await console.read(query)
    return await page(
        request, "invitations", "people", did=did, **told, roles=list(Role), link=link, made=made, until=until
    )
