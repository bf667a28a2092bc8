"""Projects: what is collected, from which data set, under which guidelines."""

import json
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection
from starlette.responses import JSONResponse

from backstay.errors import UsageError
from backstay.feedback.collection import (
    Guidelines,
    Project,
    ProjectSettings,
    Rejected,
    all_projects,
    change_project,
    create_project,
    fill_page,
    guidelines_of,
    project_of,
    write_guidelines,
)
from backstay.feedback.collection.items import Filled
from backstay.feedback.collection.project import MAX_GUIDELINES
from backstay.feedback.collection.submission import iso_time, storable
from backstay.storage.unit import Unit
from backstay.web.api import shapes
from backstay.web.api.rating import Here, ProjectId
from backstay.web.gate import Principal, allowed
from backstay.web.permissions import Permission
from backstay.web.rendering import render
from backstay.web.resettling import resettle
from backstay.web.shown import Json

router = APIRouter(prefix="/api/v1", tags=["projects"])
Reader = Annotated[Principal, Depends(allowed(Permission.RATE, Permission.READ_PROJECT))]
Manager = Annotated[Principal, Depends(allowed(Permission.MANAGE_PROJECT))]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewProject(_Body):
    """A project to be made."""

    id: Annotated[str, Field(max_length=60)]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    dataset: Annotated[str, Field(min_length=1, max_length=200)]
    settings: ProjectSettings = ProjectSettings()


class ProjectChange(_Body):
    """What is to be changed; what is not named stays."""

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    status: Literal["open", "paused", "closed"] | None = None
    settings: ProjectSettings | None = None


class NewGuidelines(_Body):
    """A new version of the guidelines, as Markdown."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_GUIDELINES)]


@router.get("/projects", response_model=shapes.Projects)
async def list_projects(who: Reader, console: Here) -> JSONResponse:
    """Projects that the caller may rate in or read."""
    found = await console.read(all_projects)
    seen = [project for project in found if who.may_enter(project.id)]
    return JSONResponse({"projects": [project_json(project, who) for project in seen]})


@router.post("/projects", status_code=201, response_model=shapes.ProjectMade)
async def make_project(body: NewProject, who: Manager, console: Here) -> JSONResponse:
    """Make a project, and items out of its data set."""
    who.check_unbound()
    name, dataset = _storable(body.name), _storable(body.dataset)

    def work(unit: Unit) -> Project:
        return create_project(unit, body.id, name, dataset, body.settings, who.account_id)

    project = await console.write(work)
    made = await fill(console, project)
    return JSONResponse(project_json(project, who) | {"items_made": made}, 201)


@router.get("/projects/{project}", response_model=shapes.Project | shapes.RaterProject)
async def get_project(project: ProjectId, who: Reader, console: Here) -> JSONResponse:
    """One project."""
    _own(who, project)
    return JSONResponse(project_json(await console.read(lambda connection: project_of(connection, project)), who))


@router.patch("/projects/{project}", response_model=shapes.Project)
async def patch_project(project: ProjectId, body: ProjectChange, who: Manager, console: Here) -> JSONResponse:
    """Change name, status or settings."""
    changes = {name: getattr(body, name) for name in body.model_fields_set if getattr(body, name) is not None}
    if "name" in changes:
        changes["name"] = _storable(changes["name"])

    def work(unit: Unit) -> Project:
        return change_project(unit, project_of(unit.connection, project), who.account_id, **changes)

    changed = await console.write(work)
    if "settings" in changes:
        await resettle(console)
    return JSONResponse(project_json(changed, who))


@router.post("/projects/{project}/items", response_model=shapes.ItemsMade)
async def fill_project(project: ProjectId, who: Manager, console: Here) -> JSONResponse:
    """Make items of what the data set has got since; how many."""
    found = await console.read(lambda connection: project_of(connection, project))
    return JSONResponse({"items_made": await fill(console, found), "by": who.account_id})


@router.get("/projects/{project}/guidelines", response_model=shapes.Guidelines)
async def get_guidelines(
    project: ProjectId, who: Reader, console: Here, version: Annotated[int | None, Query(ge=1, le=10**9)] = None
) -> JSONResponse:
    """The newest guidelines, or a version of them; version 0 without text where there are none."""
    _own(who, project)

    def query(connection: Connection) -> Guidelines:
        project_of(connection, project)
        return guidelines_of(connection, project, version)

    found = await console.read(query)
    if version is not None and not found.version:
        raise Rejected("not_found", f"there is no version {version} of these guidelines")
    return JSONResponse(guidelines_json(found))


@router.post("/projects/{project}/guidelines", status_code=201, response_model=shapes.Guidelines)
async def post_guidelines(project: ProjectId, body: NewGuidelines, who: Manager, console: Here) -> JSONResponse:
    """Write a new version."""
    text = _storable(body.text)

    def work(unit: Unit) -> Guidelines:
        return write_guidelines(unit, project_of(unit.connection, project), text, who.account_id)

    return JSONResponse(guidelines_json(await console.write(work)), 201)


async def fill(console: Here, project: Project) -> int:
    """Make items page by page, so that raters can work meanwhile."""
    made, after = 0, ""

    def work(unit: Unit, start: str) -> Filled:
        return fill_page(unit, project_of(unit.connection, project.id), start)  # Its settings may change meanwhile.

    while True:
        page = await console.write(lambda unit, start=after: work(unit, start))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        made += page.items
        if page.after is None:
            return made
        after = page.after


def project_json(project: Project, who: Principal) -> Json:
    """A project as JSON data; how it finds out careless raters is not for raters."""
    open_to_all = {"id": project.id, "name": project.name, "status": project.status}
    if Permission.READ_PROJECT not in who.permissions:
        return open_to_all | {"dimensions": list(project.settings.dimensions)}
    return open_to_all | {
        "dataset": project.dataset,
        "settings": json.loads(project.settings.model_dump_json()),
        "created_by": project.created_by,
        "created_at": iso_time(project.created_at_ms),
    }


def guidelines_json(found: Guidelines) -> Json:
    """Guidelines as JSON data."""
    at = iso_time(found.at_ms) if found.version else None
    return {"version": found.version, "text": found.text, "html": render(found.text), "author": found.author, "at": at}


def _own(who: Principal, project: str) -> None:
    if who.project not in (None, project):
        raise Rejected("not_found", "there is no such project")


def _storable(text: str) -> str:
    try:
        return storable(text)
    except ValueError as error:
        raise UsageError(f"this text cannot be stored: {error}") from error
