"""The lead's page of rater links: a batch of new ones, how far each rater has come, and ending one."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from backstay.errors import BackstayError, UsageError
from backstay.feedback.collection import project_of
from backstay.feedback.collection.submission import iso_time
from backstay.web.accounts import rater_links
from backstay.web.accounts.rater_links import LinkOrder, RaterLink
from backstay.web.accounts.refusal import Refused
from backstay.web.admin_pages.frame import Did, Id, address_of, one_line, page, refused
from backstay.web.api.rater_links import Manager, ProjectId
from backstay.web.api.rating import Here
from backstay.web.console import Console
from backstay.web.gate import accounts_of
from backstay.web.governance_pages.frame import fields_of, number, or_back
from backstay.web.pages import see

router = APIRouter(prefix="/lead/{project}/links", include_in_schema=False)
PAGE_SIZE = 100
DAYS = (1, 3, 7, 14, 30)
_DAY_S = 86_400


@router.get("")
async def links(
    request: Request,
    project: ProjectId,
    _: Manager,
    console: Here,
    did: Did = "",
    after: Annotated[str, Query(pattern=r"^[0-9a-f-]{0,36}$")] = "",
) -> Response:
    """The links of a project with the progress of each, and the form of new ones."""
    return await _page(request, project, console, did=did, after=after)


@router.post("")
async def make(request: Request, project: ProjectId, who: Manager, console: Here) -> Response:
    """{ids (one a line), wanted, days, code}: a link for each, shown on the page that answers."""
    fields, accounts = await fields_of(request), accounts_of(request)
    try:
        order = _order(project, fields)
        made = await console.write(lambda unit: rater_links.make(unit, accounts.settings, accounts.digest, who, order))
    except BackstayError as error:
        return await _page(request, project, console, problem=refused(error), typed=fields)
    rows = zip(order.external_ids, made, strict=True)
    told = [(name, link.rater_id, address_of(request, f"/link/{token}")) for name, (link, token) in rows]
    return await _page(request, project, console, made=told)


@router.post("/{link}/revoke")
async def revoke(project: ProjectId, link: Id, who: Manager, console: Here) -> Response:
    """End a link, and the session that it has."""
    here = f"/lead/{project}/links"
    await or_back(here, console.write(lambda unit: rater_links.revoke(unit, who, project, link)))
    return see(f"{here}?did=revoked")


def state_of(link: RaterLink, done: int, now_ms: int) -> str:
    """What has become of a link, in a word."""
    if link.revoked_ms is not None:
        return "revoked"
    if done >= link.wanted:
        return "done"
    if link.expires_ms <= now_ms:
        return "over"
    return "not opened" if link.begun_ms is None else "at work"


def _order(project: str, fields: Mapping[str, str]) -> LinkOrder:
    ids = [line.strip() for line in fields.get("ids", "").splitlines() if line.strip()]
    if not ids:
        raise UsageError("nobody is named", cure="write one id a line")
    if any(len(name) > 200 or not name.isprintable() for name in ids):
        raise UsageError("an id is one line of at most 200 characters", cure="write one id a line")
    wanted, days = number(fields, "wanted", 1_000_000), number(fields, "days", max(DAYS))
    if not wanted or days not in DAYS:
        raise UsageError("each rater gets one task at least, and a link holds for 1 to 30 days", cure="correct it")
    code = one_line(fields, "code", 100)
    if not all(c.isascii() and (c.isalnum() or c in "_-") for c in code):
        raise UsageError("a completion code has letters, digits, _ and - only", cure="leave it empty for one a link")
    return LinkOrder(project, ids, wanted, days * _DAY_S, code)


async def _page(
    request: Request,
    project: str,
    console: Console,
    *,
    did: str = "",
    after: str = "",
    made: list[tuple[str, str, str]] | None = None,
    problem: Refused | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    now_ms = console.clock()

    def query(connection: Connection) -> dict[str, Any]:
        found = rater_links.standing(connection, project, after, PAGE_SIZE)
        rows = [(link, done, state_of(link, done, now_ms), iso_time(link.expires_ms)) for link, done in found]
        return {
            "project": project_of(connection, project),
            "links": rows,
            "more": found[-1][0].id if len(found) == PAGE_SIZE else "",
        }

    told = await or_back("/lead", console.read(query))
    status = problem.status if problem else 200
    return await page(
        request,
        "links",
        "lead",
        did=did,
        status=status,
        **told,
        made=made or [],
        problem=problem,
        typed=typed or {},
        days=DAYS,
    )
