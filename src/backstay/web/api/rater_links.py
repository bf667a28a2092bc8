"""Links for raters without an account, in one project."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from backstay.feedback.collection.submission import iso_time
from backstay.web.accounts import rater_links
from backstay.web.accounts.rater_links import LinkOrder, RaterLink
from backstay.web.api.paging import Limit, following
from backstay.web.api.texts import Body, SomeLine
from backstay.web.console import Console
from backstay.web.gate import Principal, accounts_of, allowed, console_of
from backstay.web.permissions import Permission

router = APIRouter(prefix="/api/v1/projects/{project}/rater-links", tags=["raters"])
Manager = Annotated[Principal, Depends(allowed(Permission.MANAGE_RATERS))]
Here = Annotated[Console, Depends(console_of)]
ProjectId = Annotated[str, Path(max_length=60)]


class NewLinks(Body):
    """For whom (ids that the raters have elsewhere), how many tasks each, and for how long.

    `completion_code` is what a panel asks for; without one each link gets its own.
    """

    external_ids: Annotated[list[SomeLine], Field(min_length=1, max_length=rater_links.MOST_AT_ONCE)]
    wanted: Annotated[int, Field(ge=1, le=1_000_000)]
    holds_s: Annotated[int, Field(ge=60, le=10**9)]
    completion_code: Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9_-]*$")] = ""


class LinkOut(BaseModel):
    """What is known of a link; the id that the rater has elsewhere is not kept."""

    id: str
    rater_id: str
    wanted: int
    made_by: str
    expires_at: str
    begun_at: str | None
    revoked_at: str | None


class LinkMade(LinkOut):
    """A new link; `path` is shown this once."""

    external_id: str
    path: str


class LinksMade(BaseModel):
    """New links, in the order of the ids."""

    links: list[LinkMade]


class LinkPage(BaseModel):
    """A page of links by id; `next` is the `after` of the next page, null at the end."""

    links: list[LinkOut]
    next: str | None


@router.get("")
async def list_links(
    project: ProjectId,
    _: Manager,
    console: Here,
    after: Annotated[str, Query(pattern=r"^[0-9a-f-]{0,36}$")] = "",
    limit: Limit = 100,
) -> LinkPage:
    """The links of a project."""
    found = await console.read(lambda c: rater_links.listed(c, project, after, limit))
    return LinkPage(
        links=[LinkOut(**_fields(link)) for link in found], next=following(found, limit, lambda link: link.id)
    )


@router.post("", status_code=201)
async def make_links(project: ProjectId, body: NewLinks, who: Manager, console: Here, request: Request) -> LinksMade:
    """Make a link for each id; a second one for the same id replaces the first."""
    accounts = accounts_of(request)
    order = LinkOrder(project, body.external_ids, body.wanted, body.holds_s, body.completion_code)
    made = await console.write(lambda unit: rater_links.make(unit, accounts.settings, accounts.digest, who, order))
    rows = zip(made, body.external_ids, strict=True)
    return LinksMade(
        links=[LinkMade(**_fields(link), external_id=name, path=f"/link/{token}") for (link, token), name in rows]
    )


@router.delete("/{link}", status_code=204)
async def revoke_link(
    project: ProjectId, link: Annotated[str, Path(pattern=r"^[0-9a-f-]{1,36}$")], who: Manager, console: Here
) -> Response:
    """End a link, and the session that it has."""
    await console.write(lambda unit: rater_links.revoke(unit, who, project, link))
    return Response(status_code=204)


def _fields(link: RaterLink) -> dict[str, object]:
    return {
        "id": link.id,
        "rater_id": link.rater_id,
        "wanted": link.wanted,
        "made_by": link.made_by,
        "expires_at": iso_time(link.expires_ms),
        "begun_at": None if link.begun_ms is None else iso_time(link.begun_ms),
        "revoked_at": None if link.revoked_ms is None else iso_time(link.revoked_ms),
    }
