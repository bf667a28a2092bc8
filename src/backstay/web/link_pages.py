"""The pages of a rater link: its start, and where its rater stands."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from sqlalchemy import Connection, select
from starlette.responses import Response

from backstay.guard.inbox.lockout import network_of
from backstay.storage.console_tables import projects
from backstay.web.accounts import rater_links
from backstay.web.accounts.rater_links import RaterLink
from backstay.web.accounts.refusal import Refused, not_here, too_many
from backstay.web.gate import (
    Principal,
    accounts_of,
    allowed,
    browser_of,
    console_of,
    public,
    renew_cookie,
)
from backstay.web.pages import see
from backstay.web.permissions import Permission
from backstay.web.visitors import page_visitor, pages_of

router = APIRouter(include_in_schema=False)
Token = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,160}$")]


@router.get("/link/{token}", dependencies=[Depends(public())])
async def link_start(token: Token, request: Request) -> Response:
    """What the link is for; opening it begins nothing."""
    link = await _look(request, token)
    return pages_of(request).page(
        "link_start", token=token, project=await _project_name(request, link), link=link, problem=None
    )


@router.post("/link/{token}", dependencies=[Depends(public())])
async def link_begin(token: Token, request: Request) -> Response:
    """Begin, or go on, in this browser."""
    link = await _look(request, token)
    accounts, browser = accounts_of(request), browser_of(request)
    try:
        _, cookie = await console_of(request).write(
            lambda unit: rater_links.begin(
                unit, accounts.settings, accounts.digest, token, browser=browser.agent, cookie=browser.cookie
            )
        )
    except Refused as refused:
        return pages_of(request).page(
            "link_start",
            status=refused.status,
            token=token,
            project=await _project_name(request, link),
            link=link,
            problem=refused,
        )
    renew_cookie(request, cookie)
    return see(f"/rate/{link.project}")


@router.get("/link")
async def link_progress(who: Annotated[Principal, Depends(allowed(Permission.RATE))], request: Request) -> Response:
    """How far the rater of a link has come; the completion code at the end."""
    console = console_of(request)
    now_ms = console.clock()
    link = await console.read(lambda c: rater_links.find(c, who.link_id, now_ms))
    if link is None:
        raise not_here("rater link")
    found = await console.read(lambda c: rater_links.progress(c, link))
    return pages_of(request).page(
        "link_progress",
        await page_visitor(request),
        here="link",
        project=await _project_name(request, link),
        link=link,
        progress=found,
    )


async def _look(request: Request, token: str) -> RaterLink:
    accounts, console = accounts_of(request), console_of(request)
    if wait_s := accounts.strangers.take(network_of(browser_of(request).address)):
        raise too_many(wait_s)
    now_ms = console.clock()
    return await console.read(lambda c: rater_links.look(c, accounts.digest, token, now_ms))


async def _project_name(request: Request, link: RaterLink) -> str:
    def name(connection: Connection) -> str:
        found = connection.execute(select(projects.c.name).where(projects.c.id == link.project)).scalar()
        return found or link.project

    return await console_of(request).read(name)
