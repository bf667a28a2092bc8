"""Gold, as those see it who keep it: the list, and the form that proposes a change."""

from typing import Any, cast, get_args

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from backstay.errors import UsageError
from backstay.feedback.collection import project_of
from backstay.feedback.collection.gold_keeping import Step, propose_gold
from backstay.feedback.collection.proposing import Proposal, proposals_of
from backstay.records import Dimension
from backstay.storage.unit import Unit
from backstay.web.api.adjudications import LETTERS
from backstay.web.api.deciding import Either, Proposer, decider
from backstay.web.api.gold import GoldPlace, gold_json
from backstay.web.api.rating import Here, ProjectId
from backstay.web.governance_pages.frame import fields_of, number, or_back, page
from backstay.web.pages import see

router = APIRouter(prefix="/lead/{project}/gold", include_in_schema=False)


@router.get("")
async def gold(request: Request, project: ProjectId, _: Either, console: Here, after: GoldPlace = "") -> Response:
    """How often each gold item was seen, and which share of raters found its answer."""

    def query(connection: Connection) -> dict[str, Any]:
        rows = gold_json(connection, project, after)
        waiting = [row for row in proposals_of(connection, project=project) if row.kind == "gold"]
        return {
            "project": project_of(connection, project),
            "gold": rows["gold"],
            "more": rows["next"],
            "waiting": len(waiting),
        }

    told = await or_back("/lead", console.read(query))
    return await page(request, "gold", "lead", **told, letters=LETTERS)


@router.post("/proposals")
async def propose(request: Request, project: ProjectId, who: Proposer, console: Here) -> Response:
    """{item, dimension, step, best, reason}: put up a change for a second person."""
    fields = await fields_of(request)
    item, step = fields.get("item", "")[:60], fields.get("step", "")
    back = f"/lead/{project}/items/{item}"

    def work(unit: Unit) -> Proposal:
        if step not in get_args(Step):
            raise UsageError(f"{step[:20]!r} is no way to change gold", cure="load the page again")
        best = number(fields, "best", 31) if step == "set" else None
        dimension = cast("Dimension", fields.get("dimension", ""))  # One that is none is refused as not asked.
        found = project_of(unit.connection, project)
        return propose_gold(
            unit, found, item, dimension, cast("Step", step), best, decider(who), fields.get("reason", "")
        )

    made = await or_back(back, console.write(work))
    return see(f"/security/proposals/{made.id}")
