"""Items in a list, and what a reward ensemble thinks of them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import JSONResponse

from backstay.feedback.collection import Item, project_of
from backstay.feedback.collection.items import item_page
from backstay.feedback.collection.scoring import MOST_ITEMS, MOST_LOG_ODDS, MOST_MEMBERS, Scored, set_scores
from backstay.storage.unit import Unit
from backstay.web.api import shapes_decisions as shapes
from backstay.web.api.deciding import NAME, After, Onlooker
from backstay.web.api.paging import Limit, following
from backstay.web.api.rating import Here, ProjectId
from backstay.web.api.texts import Body
from backstay.web.gate import Principal, allowed
from backstay.web.permissions import Permission
from backstay.web.shown import Json

router = APIRouter(prefix="/api/v1/projects/{project}", tags=["projects"])
Manager = Annotated[Principal, Depends(allowed(Permission.MANAGE_PROJECT))]
ItemName = Annotated[str, Field(max_length=60, pattern=NAME)]
LogOdds = Annotated[float, Field(ge=-MOST_LOG_ODDS, le=MOST_LOG_ODDS, allow_inf_nan=False)]


class NewScores(Body):
    """By item: each ensemble member's log-odds that response 0 is better than response 1; none take scores away.

    Members are told apart by their place in the list, which has 2 to 32 of them, the same number for every item.
    """

    scores: Annotated[
        dict[ItemName, Annotated[list[LogOdds], Field(max_length=MOST_MEMBERS)]],
        Field(min_length=1, max_length=MOST_ITEMS),
    ]


@router.get("/items", response_model=shapes.Items)
async def list_items(
    project: ProjectId,
    _: Onlooker,
    console: Here,
    state: Literal["open", "done", "disputed", "settled", "withdrawn"] | None = None,
    after: After = "",
    limit: Limit = 100,
) -> JSONResponse:
    """Items in order of id, all of them or those of one state, without what was said of them."""

    def view(connection: Connection) -> Json:
        project_of(connection, project)
        found = item_page(connection, project, state or "", after, limit)
        return {"items": [_row(item) for item in found], "next": following(found, limit, lambda item: item.id)}

    return JSONResponse(await console.read(view))


@router.put("/scores", response_model=shapes.ScoresSet)
async def put_scores(project: ProjectId, body: NewScores, who: Manager, console: Here) -> JSONResponse:
    """Set what a reward ensemble thinks of items, all or none; raters are asked where its members disagree."""

    def work(unit: Unit) -> Scored:
        return set_scores(unit, project_of(unit.connection, project), body.scores, who.account_id)

    return JSONResponse((await console.write(work))._asdict())


def _row(item: Item) -> Json:
    told = {"id": item.id, "prompt_id": item.prompt_id, "response_ids": list(item.response_ids)}
    return told | {"state": item.state, "votes": item.votes}
