"""The reviewer's pages: what waits, a disputed item blind, what its raters had said, and a draft with its changes."""

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from backstay.errors import UsageError
from backstay.feedback.collection import all_projects, project_of
from backstay.feedback.collection.adjudicating import adjudicate, count_disputes, next_dispute, open_dispute
from backstay.feedback.collection.drafting import accept_draft, count_drafts, refuse_draft, waiting_drafts
from backstay.feedback.collection.submission import Answer
from backstay.storage.unit import Unit
from backstay.web.api.adjudications import LETTERS, dispute_json, item_json
from backstay.web.api.deciding import After, Id, ItemId, Reviewer, decider
from backstay.web.api.drafts import draft_json
from backstay.web.api.rating import Here, ProjectId
from backstay.web.governance_pages.frame import fields_of, number, or_back, page
from backstay.web.pages import see

router = APIRouter(prefix="/review", include_in_schema=False)


@router.get("")
async def overview(request: Request, who: Reviewer, console: Here) -> Response:
    """The projects, and what waits for a reviewer in each."""

    def query(connection: Connection) -> list[dict[str, Any]]:
        return [
            {
                "id": found.id,
                "name": found.name,
                "disputes": count_disputes(connection, found.id),
                "drafts": count_drafts(connection, found.id),
            }
            for found in all_projects(connection)
            if who.may_enter(found.id)
        ]

    return await page(request, "review", "review", projects=await console.read(query))


@router.get("/{project}/disputes")
async def disputes(request: Request, project: ProjectId, who: Reviewer, console: Here, after: After = "") -> Response:
    """To the next disputed item that this reviewer may decide."""

    def query(connection: Connection) -> tuple[str | None, int]:
        found = project_of(connection, project)
        return next_dispute(connection, found, decider(who), after), count_disputes(connection, project)

    item, waiting = await console.read(query)
    if item is not None:
        return see(f"/review/{project}/disputes/{item}")
    return await page(request, "queue_empty", "review", project=project, what="disputes", waiting=waiting)


@router.get("/{project}/disputes/{item}")
async def dispute(request: Request, project: ProjectId, item: ItemId, who: Reviewer, console: Here) -> Response:
    """One disputed item, blind, and the form of the verdict."""
    found = await or_back("/review", console.read(lambda connection: dispute_json(connection, project, item, who)))
    return await page(request, "dispute", "review", project=project, dispute=found, letters=LETTERS)


@router.post("/{project}/disputes/{item}")
async def decide(request: Request, project: ProjectId, item: ItemId, who: Reviewer, console: Here) -> Response:
    """{round, answer.DIMENSION, reason}: settle it, then show what the raters had said."""
    fields = await fields_of(request)
    back = f"/review/{project}/disputes"

    def work(unit: Unit) -> None:
        found = project_of(unit.connection, project)
        answers = [
            _answer(name.removeprefix("answer."), value) for name, value in fields.items() if name.startswith("answer.")
        ]
        round_ = number(fields, "round", 10**6)
        adjudicate(unit, found, item, decider(who), round_, answers, fields.get("reason", ""))

    await or_back(back, console.write(work))
    return see(f"/review/{project}/settled/{item}")


@router.get("/{project}/settled/{item}")
async def settled(request: Request, project: ProjectId, item: ItemId, who: Reviewer, console: Here) -> Response:
    """What was decided, what the raters had said, and the way to the next item."""
    found = await or_back("/review", console.read(lambda connection: item_json(connection, project, item, who)))
    if found["blind"]:
        return see(f"/review/{project}/disputes/{item}")
    waiting = await console.read(lambda connection: count_disputes(connection, project))
    return await page(request, "settled", "review", project=project, item=found, letters=LETTERS, waiting=waiting)


@router.post("/{project}/items/{item}/dispute")
async def reopen(request: Request, project: ProjectId, item: ItemId, who: Reviewer, console: Here) -> Response:
    """{reason}: have an item decided by a reviewer."""
    fields = await fields_of(request)
    back = f"/lead/{project}/items/{item}"

    def work(unit: Unit) -> None:
        open_dispute(unit, project_of(unit.connection, project), item, decider(who), fields.get("reason", ""))

    await or_back(back, console.write(work))
    return see(back)


@router.get("/{project}/drafts")
async def drafts(request: Request, project: ProjectId, who: Reviewer, console: Here) -> Response:
    """To the oldest draft that this reviewer may review."""

    def query(connection: Connection) -> tuple[str | None, int]:
        found, after = project_of(connection, project), ""
        while rows := waiting_drafts(connection, found, after):
            own = next((draft.id for draft in rows if draft.rater_id != who.rater_id), None)
            if own is not None:
                return own, count_drafts(connection, project)
            after = rows[-1].id
        return None, count_drafts(connection, project)

    draft, waiting = await console.read(query)
    if draft is not None:
        return see(f"/review/{project}/drafts/{draft}")
    return await page(request, "queue_empty", "review", project=project, what="drafts", waiting=waiting)


@router.get("/{project}/drafts/{draft}")
async def draft_page(request: Request, project: ProjectId, draft: Id, who: Reviewer, console: Here) -> Response:
    """One draft, what it changed, and the two ways to decide."""
    found = await or_back("/review", console.read(lambda connection: draft_json(connection, project, draft, who)))
    return await page(request, "draft", "review", project=project, draft=found)


@router.post("/{project}/drafts/{draft}")
async def decide_draft(request: Request, project: ProjectId, draft: Id, who: Reviewer, console: Here) -> Response:
    """{did: accept | refuse, reason}: a demonstration, or not."""
    fields = await fields_of(request)
    back = f"/review/{project}/drafts"

    def work(unit: Unit) -> None:
        found = project_of(unit.connection, project)
        if fields.get("did") == "accept":
            accept_draft(unit, found, draft, decider(who))
        else:
            refuse_draft(unit, found, draft, decider(who), fields.get("reason", ""))

    await or_back(back, console.write(work))
    return see(back)


def _answer(dimension: str, text: str) -> Answer:
    """`bad`, or slots by letter as in `A>B=C`; raises UsageError."""
    try:
        if text.strip().lower() == "bad":
            return Answer.model_validate({"dimension": dimension, "both_bad": True})
        groups = [[LETTERS.index(name.strip()) for name in group.split("=")] for group in text.split(">")]
        return Answer.model_validate({"dimension": dimension, "ranking": groups})
    except ValueError as error:
        raise UsageError(f"{text[:40]!r} is no verdict", cure="write letters, best first, as in A > B = C") from error
