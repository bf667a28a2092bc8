"""Better answers that raters wrote: the queue, one with its changes, and the decision."""

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import JSONResponse

from backstay.feedback.collection import project_of
from backstay.feedback.collection.drafting import (
    Draft,
    accept_draft,
    count_drafts,
    draft_of,
    refuse_draft,
    waiting_drafts,
)
from backstay.feedback.collection.item_history import read_texts
from backstay.feedback.collection.submission import iso_time
from backstay.storage.unit import Unit
from backstay.web.api import shapes_decisions as shapes
from backstay.web.api.deciding import After, Id, Reviewer, Why, decider, texts_json
from backstay.web.api.paging import Limit, following
from backstay.web.api.rating import Here, ProjectId
from backstay.web.differences import word_changes
from backstay.web.gate import Principal
from backstay.web.rendering import render
from backstay.web.shown import Json

router = APIRouter(prefix="/api/v1/projects/{project}/drafts", tags=["review"])


@router.get("", response_model=shapes.Drafts)
async def list_drafts(
    project: ProjectId, who: Reviewer, console: Here, after: After = "", limit: Limit = 100
) -> JSONResponse:
    """Drafts that wait, oldest first, and which of them the caller may review."""

    def view(connection: Connection) -> Json:
        found = waiting_drafts(connection, project_of(connection, project), after, limit)
        rows = [_row(draft) | {"may_review": draft.rater_id != who.rater_id} for draft in found]
        following_id = following(found, limit, lambda draft: draft.id)
        return {"waiting": count_drafts(connection, project), "drafts": rows, "next": following_id}

    return JSONResponse(await console.read(view))


@router.get("/{draft}", response_model=shapes.ShownDraft)
async def get_draft(project: ProjectId, draft: Id, who: Reviewer, console: Here) -> JSONResponse:
    """One draft with the response that it was written out of."""
    return JSONResponse(await console.read(lambda connection: draft_json(connection, project, draft, who)))


@router.post("/{draft}/accept", response_model=shapes.Draft)
async def post_accepted_draft(project: ProjectId, draft: Id, who: Reviewer, console: Here) -> JSONResponse:
    """Make it a demonstration."""

    def work(unit: Unit) -> Draft:
        return accept_draft(unit, project_of(unit.connection, project), draft, decider(who))

    return JSONResponse(_row(await console.write(work)))


@router.post("/{draft}/refuse", response_model=shapes.Draft)
async def post_refused_draft(project: ProjectId, draft: Id, body: Why, who: Reviewer, console: Here) -> JSONResponse:
    """Refuse it with a reason."""

    def work(unit: Unit) -> Draft:
        return refuse_draft(unit, project_of(unit.connection, project), draft, decider(who), body.reason)

    return JSONResponse(_row(await console.write(work)))


def draft_json(connection: Connection, project_id: str, draft_id: str, who: Principal) -> Json:
    """A draft with its prompt, the response before it, and what was changed."""
    project = project_of(connection, project_id)
    draft = draft_of(connection, project, draft_id)
    texts = read_texts(connection, project.dataset, draft.prompt_id, (draft.response_id,))
    changes = [piece._asdict() for piece in word_changes(texts.responses[0].text, draft.text)]
    shown = texts_json(texts._replace(responses=()))
    about = {
        "before": texts.responses[0].text,
        "text": draft.text,
        "html": render(draft.text),
        "changes": changes,
        "prompt": shown["prompt"],
    }
    return (
        _row(draft)
        | about
        | {"may_review": draft.rater_id != who.rater_id, "waiting": count_drafts(connection, project_id)}
    )


def _row(draft: Draft) -> Json:
    told = {"id": draft.id, "rater": draft.rater_id, "state": draft.state, "at": iso_time(draft.at_ms)}
    return told | {"reviewed_by": draft.reviewed_by, "reason": draft.reason}
