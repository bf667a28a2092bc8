"""Gold, for those who keep it: the list, and proposing a change, which a second person decides."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import JSONResponse

from backstay.feedback.collection import project_of
from backstay.feedback.collection.deciders import Reason
from backstay.feedback.collection.gold_keeping import Gold, Step, gold_list, propose_gold
from backstay.feedback.collection.proposing import Proposal
from backstay.feedback.collection.submission import iso_time
from backstay.records import Dimension
from backstay.storage.unit import Unit
from backstay.web.api import shapes_decisions as shapes
from backstay.web.api.deciding import NAME, Either, Proposer, decider, names_of
from backstay.web.api.paging import Limit, following
from backstay.web.api.proposals import proposal_row
from backstay.web.api.rating import Here, ProjectId
from backstay.web.api.texts import Body
from backstay.web.shown import Json
from backstay.web.webhooks.events import telling_proposal

router = APIRouter(prefix="/api/v1/projects/{project}/gold", tags=["gold"])


GoldPlace = Annotated[str, Query(max_length=81, pattern=r"^[A-Za-z0-9_.:-]{0,60}(/[a-z]{1,20})?$")]
"""Item and dimension of the row behind which a page begins, as `next` gives it."""


class GoldChange(Body):
    """What is proposed: `set` names the index of the best response, `retire` and `withdraw` name none."""

    item: Annotated[str, Field(max_length=60, pattern=NAME)]
    dimension: Dimension = "overall"
    step: Step
    best: Annotated[int, Field(ge=0, le=31)] | None = None
    reason: Reason


@router.get("", response_model=shapes.GoldPage)
async def list_gold(
    project: ProjectId, _: Either, console: Here, after: GoldPlace = "", limit: Limit = 100
) -> JSONResponse:
    """Gold in order of item and dimension: how often it was seen, and by which share of raters found."""
    return JSONResponse(await console.read(lambda connection: gold_json(connection, project, after, limit)))


@router.post("/proposals", status_code=201, response_model=shapes.Proposal)
async def propose_gold_change(project: ProjectId, body: GoldChange, who: Proposer, console: Here) -> JSONResponse:
    """Propose a change; nothing changes until somebody else confirms it."""

    def work(unit: Unit) -> Proposal:
        found = project_of(unit.connection, project)
        by = decider(who)
        made = propose_gold(unit, found, body.item, body.dimension, body.step, body.best, by, body.reason)
        return telling_proposal(unit, made)

    return JSONResponse(proposal_row(await console.write(work), {}), 201)


def gold_json(connection: Connection, project_id: str, after: str = "", limit: int = 100) -> Json:
    """A page of the list, and what the next one is after."""
    project_of(connection, project_id)
    item, _, dimension = after.partition("/")
    found = gold_list(connection, project_id, (item, dimension), limit)
    names = names_of(connection, [gold.author for gold in found])
    place = following(found, limit, lambda gold: f"{gold.item_id}/{gold.dimension}")
    return {"gold": [_row(gold, names) for gold in found], "next": place}


def _row(gold: Gold, names: dict[str, str]) -> Json:
    share = gold.right / gold.exposures if gold.exposures else None
    about = {"item": gold.item_id, "dimension": gold.dimension, "best": gold.best, "state": gold.state}
    seen = {"exposures": gold.exposures, "right": gold.right, "share_right": share}
    by = {"author": gold.author, "name": names.get(gold.author, gold.author), "at": iso_time(gold.at_ms)}
    return about | seen | by | {"why": gold.why}
