"""Pages of accounts: who there is, their role and projects, disabling, unlocking, a link for a new password."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from backstay.errors import UsageError
from backstay.feedback.collection.submission import iso_time
from backstay.storage.unit import Unit
from backstay.web.accounts import api_tokens, directory, invitations, name_lock
from backstay.web.admin_pages.frame import Did, Id, address_of, chosen_projects, page, projects_by_id
from backstay.web.api.accounts import Admin, Here
from backstay.web.gate import accounts_of
from backstay.web.governance_pages.frame import fields_of, or_back
from backstay.web.pages import see
from backstay.web.permissions import Role

router = APIRouter(prefix="/admin/accounts", include_in_schema=False)
HOME = "/admin/accounts"
PAGE_SIZE = 100
STATES = {"disable": directory.DISABLED, "enable": directory.ACTIVE}


@router.get("")
async def people(
    request: Request,
    who: Admin,
    console: Here,
    after: Annotated[str, Query(pattern=r"^[a-z0-9._@+-]{0,64}$")] = "",
) -> Response:
    """Every account, by name."""
    digest, now_ms = accounts_of(request).digest, console.clock()

    def query(connection: Connection) -> dict[str, Any]:
        found = directory.listed(connection, after, PAGE_SIZE)
        return {
            "people": [
                (one, name_lock.is_locked(connection, name_lock.name_key(digest, one.name), now_ms)) for one in found
            ],
            "more": found[-1].name if len(found) == PAGE_SIZE else "",
            "projects": projects_by_id(connection),
            "invited": len(invitations.listed(connection, now_ms)),
        }

    return await page(request, "people", "people", **await console.read(query), who=who)


@router.get("/{account}")
async def person(request: Request, account: Id, who: Admin, console: Here, did: Did = "") -> Response:
    """One account, and what can be done about it."""
    return await _person(request, account, who, console, did=did)


@router.post("/{account}")
async def change(request: Request, account: Id, who: Admin, console: Here) -> Response:
    """{role, reach, project.ID ...}: another role or other projects."""
    fields = await fields_of(request)

    def work(unit: Unit) -> None:
        role = next((role for role in Role if role.value == fields.get("role")), None)
        if role is None:
            raise UsageError("that is no role", cure="choose one from the list")
        chosen = chosen_projects(fields, list(projects_by_id(unit.connection)))
        directory.change(unit, who, account, role=role, projects=chosen, every_project=chosen is None)

    await or_back(f"{HOME}/{account}", console.write(work))
    return see(f"{HOME}/{account}?did=saved")


@router.post("/{account}/state")
async def change_state(request: Request, account: Id, who: Admin, console: Here) -> Response:
    """{did: disable | enable}."""
    did = (await fields_of(request)).get("did", "")
    if did not in STATES:
        raise UsageError("an account is disabled or enabled", cure="load the page again")
    work = console.write(lambda unit: directory.change(unit, who, account, state=STATES[did]))
    await or_back(f"{HOME}/{account}", work)
    return see(f"{HOME}/{account}?did={did}d")


@router.post("/{account}/unlock")
async def unlock(request: Request, account: Id, who: Admin, console: Here) -> Response:
    """Let a name sign in again that was locked after too many failures."""
    digest = accounts_of(request).digest

    def work(unit: Unit) -> None:
        name_lock.unlock(unit, name_lock.name_key(digest, directory.get(unit.connection, account).name))
        directory.note(unit, who, "unlock", account)

    await or_back(HOME, console.write(work))
    return see(f"{HOME}/{account}?did=unlocked")


@router.post("/{account}/reset-link")
async def reset_link(request: Request, account: Id, who: Admin, console: Here) -> Response:
    """A link for a new password, shown on the page that answers."""
    settings = accounts_of(request).settings
    work = console.write(lambda unit: invitations.reset(unit, settings, who, account))
    made, secret = await or_back(f"{HOME}/{account}", work)
    link = address_of(request, f"/join/{secret}")
    return await _person(request, account, who, console, link=link, until=iso_time(made.expires_ms))


@router.post("/{account}/tokens/{token}/revoke")
async def revoke_token(account: Id, token: Id, who: Admin, console: Here) -> Response:
    """Revoke an API token of somebody."""
    work = console.write(lambda unit: api_tokens.revoke(unit, who, account, token))
    await or_back(f"{HOME}/{account}", work)
    return see(f"{HOME}/{account}?did=revoked")


async def _person(
    request: Request, account: str, who: Admin, console: Here, *, did: str = "", link: str = "", until: str = ""
) -> Response:
    digest, now_ms = accounts_of(request).digest, console.clock()

    def query(connection: Connection) -> dict[str, Any]:
        found = directory.get(connection, account)
        tokens = api_tokens.listed(connection, account)
        return {
            "account": found,
            "since": iso_time(found.created_ms),
            "locked": name_lock.is_locked(connection, name_lock.name_key(digest, found.name), now_ms),
            "tokens": [(one, iso_time(one.expires_ms)) for one in tokens],
            "projects": projects_by_id(connection) | dict.fromkeys(found.projects or (), ""),
        }

    told = await or_back(HOME, console.read(query))
    is_self = who.account_id == account
    return await page(
        request, "person", "people", did=did, **told, is_self=is_self, roles=list(Role), link=link, until=until
    )
