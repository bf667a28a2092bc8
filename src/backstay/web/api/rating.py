"""What a rater asks of the console: the next task, an answer taken, one given back, one undone."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path
from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import Connection
from starlette.responses import JSONResponse

from backstay.feedback.collection import (
    Assignment,
    Issued,
    Rejected,
    Submission,
    Taken,
    Undone,
    find_assignment,
    find_item,
    issue,
    last_judged,
    progress_from,
    progress_of,
    project_of,
    renew,
    skip,
    submit,
    undo,
)
from backstay.feedback.collection.submission import iso_time, storable
from backstay.storage.unit import Unit
from backstay.web.api import shapes
from backstay.web.console import Console
from backstay.web.gate import Principal, allowed, console_here
from backstay.web.permissions import Permission
from backstay.web.shown import Json, progress_json, shown
from backstay.web.webhooks.events import telling_judgment, telling_retraction

router = APIRouter(prefix="/api/v1", tags=["rating"])
Rating = Annotated[Principal, Depends(allowed(Permission.RATE))]
Here = Annotated[Console, Depends(console_here)]
ProjectId = Annotated[str, Path(max_length=60)]
AssignmentId = Annotated[str, Path(max_length=36)]
Key = Annotated[str, Header(alias="Idempotency-Key", min_length=8, max_length=80, pattern=r"^[A-Za-z0-9_-]+$")]

AGAIN: dict[int | str, dict[str, Any]] = {
    200: {"model": shapes.Receipt, "description": "It was stored already, under the same key."}
}


class Skip(BaseModel):
    """Why a task is given back."""

    model_config = ConfigDict(extra="forbid")

    reason: Literal["unclear", "not_my_field", "language", "uncomfortable", "broken", "other"]
    note: Annotated[str, Field(max_length=1000)] = ""

    @field_validator("note")
    @classmethod
    def _note_is_text(cls, value: str) -> str:
        return storable(value)


@router.post("/projects/{project}/assignments", response_model=shapes.Issued)
async def next_assignment(project: ProjectId, who: Rating, console: Here) -> JSONResponse:
    """The rater's open assignment, else the next one."""
    rater = rater_of(who, project)

    def work(unit: Unit) -> Issued:
        return issue(unit, project_of(unit.connection, project), rater, console.secret, knows_gold=who.knows_gold)

    issued = await console.write(work)

    def view(connection: Connection) -> Json:
        assignment, at_ms = issued.assignment, console.clock()
        found = project_of(connection, project)
        return {
            "assignment": shown(connection, found, issued.item, assignment, at_ms) if assignment else None,
            "why": issued.why,
            "progress": progress_json(progress_of(connection, project, rater, at_ms)),
        }

    return JSONResponse(await console.read(view))


@router.post("/assignments/{assignment}/judgment", status_code=201, response_model=shapes.Receipt, responses=AGAIN)
async def judge(assignment: AssignmentId, body: Submission, key: Key, who: Rating, console: Here) -> JSONResponse:
    """Take an answer; sent again under the same key it is stored once and answered with 200."""
    rater = await rater_in(console, who, assignment)

    def work(unit: Unit) -> Taken:
        def take() -> Taken:
            return submit(unit, assignment, rater, key, body, console.secret, knows_gold=who.knows_gold)

        return telling_judgment(unit, assignment, take)

    taken = await console.write(work)
    return await _receipt(console, taken)


@router.post("/assignments/{assignment}/skip", status_code=201, response_model=shapes.Receipt, responses=AGAIN)
async def give_back(assignment: AssignmentId, body: Skip, key: Key, who: Rating, console: Here) -> JSONResponse:
    """Give a task back with a reason."""
    rater = await rater_in(console, who, assignment)

    def work(unit: Unit) -> Taken:
        return skip(unit, assignment, rater, key, body.reason, body.note, console.secret, knows_gold=who.knows_gold)

    taken = await console.write(work)
    return await _receipt(console, taken)


@router.post("/assignments/{assignment}/renew", response_model=shapes.Lease)
async def renew_lease(assignment: AssignmentId, who: Rating, console: Here) -> JSONResponse:
    """Keep a task for another while."""
    rater = await rater_in(console, who, assignment)
    found = await console.write(lambda unit: renew(unit, assignment, rater))
    return JSONResponse({"lease_expires_at": iso_time(found.expires_at_ms)})


@router.post("/projects/{project}/undo", response_model=shapes.Undone)
async def take_back(project: ProjectId, key: Key, who: Rating, console: Here) -> JSONResponse:
    """Retract the last judgment; its task comes back with what was said of it. Under the same key it is done once."""
    rater = rater_of(who, project)

    def work(unit: Unit) -> Undone:
        return telling_retraction(unit, undo(unit, project_of(unit.connection, project), rater, key))

    undone = await console.write(work)

    def view(connection: Connection) -> Json:
        assignment, at_ms = undone.assignment, console.clock()
        item = find_item(connection, project, assignment.item_id)
        return {
            "assignment": shown(connection, project_of(connection, project), item, assignment, at_ms),
            "answer": undone.answer.model_dump(mode="json"),
            "progress": progress_json(progress_of(connection, project, rater, at_ms)),
        }

    return JSONResponse(await console.read(view))


@router.get("/projects/{project}/progress", response_model=shapes.Progress)
async def get_progress(project: ProjectId, who: Rating, console: Here) -> JSONResponse:
    """The rater's own counts."""
    rater = rater_of(who, project)

    def view(connection: Connection) -> Json:
        project_of(connection, project)
        return progress_json(progress_of(connection, project, rater, console.clock()))

    return JSONResponse(await console.read(view))


def rater_of(who: Principal, project: str | None = None) -> str:
    """The rater that somebody rates as; a link rates in its own project only."""
    if who.rater_id is None or (who.project is not None and project not in (None, who.project)):
        raise Rejected("not_found", "there is no such project")
    return who.rater_id


async def rater_in(console: Console, who: Principal, assignment: str) -> str:
    """The rater, where the project of the assignment is open to them now."""
    if who.projects is not None:
        found = await console.read(lambda connection: find_assignment(connection, assignment))
        if found is None or not who.may_enter(found.project):
            raise Rejected("not_found", "there is no such assignment", cure="ask for the next one")
    return rater_of(who)


async def _receipt(console: Console, taken: Taken) -> JSONResponse:
    def view(connection: Connection) -> Json:
        found, following, at_ms = taken.assignment, taken.following, console.clock()
        task = following.assignment
        return {
            "receipt": found.id,
            "accepted_at": iso_time(found.settled_at_ms or 0),
            "undo": found.state == "judged" and (taken.is_new or _is_last(connection, found)),
            "next": shown(connection, taken.project, following.item, task, at_ms) if task else None,
            "why": following.why,
            "progress": progress_json(progress_from(connection, taken.stats, at_ms)),
        }

    return JSONResponse(await console.read(view), 201 if taken.is_new else 200)


def _is_last(connection: Connection, judged: Assignment) -> bool:
    last = last_judged(connection, judged.project, judged.rater_id)
    return last is not None and last.id == judged.id
