"""The pages on which people rate, and the styles and scripts of every page."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from backstay.feedback.collection import Project, all_projects, progress_of, project_of
from backstay.feedback.collection.choosing import left_for
from backstay.web.accounts import rater_links
from backstay.web.api.rating import Here, ProjectId, Rating
from backstay.web.gate import Principal, public
from backstay.web.pages import see
from backstay.web.sign_in_pages import SIGN_IN
from backstay.web.visitors import page_visitor, pages_of

router = APIRouter(include_in_schema=False)
HOMES = {"reviewer": "/review", "lead": "/lead", "security": "/lead", "admin": "/lead"}
"""Where somebody begins, by role; raters begin with rating."""

Anybody = Annotated[None, Depends(public())]


@router.get("/assets/{version}/{name}")
async def asset(request: Request, version: str, name: str, _: Anybody) -> Response:
    """A style, script or picture."""
    return pages_of(request).asset(version, name) or Response(status_code=404)


@router.get("/")
async def home(request: Request, _: Anybody) -> Response:
    """To the page where somebody's work is."""
    visitor = await page_visitor(request)
    if visitor is None:
        return see(SIGN_IN)
    return see(HOMES.get(visitor.role, "/rate"))


@router.get("/rate")
async def rate_projects(request: Request, who: Rating, console: Here) -> Response:
    """The projects in which somebody may rate."""

    def query(connection: Connection) -> list[dict[str, Any]]:
        found = [project for project in all_projects(connection) if who.may_enter(project.id)]
        return [_row(connection, project, who, console.clock()) for project in found]

    rows = await console.read(query)
    return pages_of(request).page("rate_projects", await page_visitor(request), here="rate", projects=rows)


@router.get("/rate/{project}")
async def rate(request: Request, project: ProjectId, who: Rating, console: Here) -> Response:
    """The page on which tasks are shown; it asks the API for them."""
    found = await console.read(lambda connection: project_of(connection, project))
    now_ms = console.clock()
    link = await console.read(lambda connection: rater_links.find(connection, who.link_id, now_ms))
    told = {"id": found.id, "name": found.name}
    return pages_of(request).page(
        "rate",
        await page_visitor(request),
        here="rate",
        project=told,
        sign_in=SIGN_IN,
        wanted=link.wanted if link else 0,
    )


def _row(connection: Connection, project: Project, who: Principal, now_ms: int) -> dict[str, Any]:
    done = progress_of(connection, project.id, who.rater_id, now_ms).done_today if who.rater_id else 0
    what = ", ".join(name for name in project.settings.dimensions if name != "overall")
    is_open = project.status == "open"
    left = left_for(connection, project, who.rater_id, knows_gold=who.knows_gold) if is_open and who.rater_id else None
    return {
        "id": project.id,
        "name": project.name,
        "what": what,
        "status": project.status,
        "left": left,
        "done_today": done,
    }
