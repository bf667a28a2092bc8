"""The page of one item: texts, votes, why each rater was asked, what was taken back, and where the journal has it."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from backstay.web.api.adjudications import LETTERS, item_json
from backstay.web.api.deciding import ItemId, Onlooker
from backstay.web.api.rating import Here, ProjectId
from backstay.web.governance_pages.frame import or_back, page
from backstay.web.permissions import Permission

router = APIRouter(prefix="/lead/{project}/items", include_in_schema=False)


@router.get("/{item}")
async def item_page(request: Request, project: ProjectId, item: ItemId, who: Onlooker, console: Here) -> Response:
    """Everything that is known of an item."""
    found = await or_back("/lead", console.read(lambda connection: item_json(connection, project, item, who)))
    may = {"review": who.may(Permission.REVIEW), "propose": who.may(Permission.PROPOSE)}
    return await page(request, "item", "lead", project=project, item=found, letters=LETTERS, may=may)
