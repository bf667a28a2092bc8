"""The lead's pages of projects: all of them, a new one, settings, and guidelines with their versions."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from sqlalchemy import Connection, func, select
from starlette.responses import Response

from backstay.errors import UsageError
from backstay.feedback.collection import (
    Guidelines,
    Project,
    ProjectSettings,
    all_projects,
    change_project,
    create_project,
    guidelines_of,
    project_of,
    write_guidelines,
)
from backstay.feedback.collection.submission import iso_time
from backstay.records import Dimension
from backstay.storage.console_tables import items
from backstay.storage.tables import prompts
from backstay.storage.unit import Unit
from backstay.web.api.deciding import Onlooker, names_of
from backstay.web.api.projects import Manager, fill
from backstay.web.api.rating import Here, ProjectId
from backstay.web.differences import line_changes
from backstay.web.gate import Principal
from backstay.web.governance_pages.frame import fields_of, or_back, page
from backstay.web.pages import see
from backstay.web.permissions import Permission
from backstay.web.rendering import render
from backstay.web.resettling import resettle

router = APIRouter(prefix="/lead", include_in_schema=False)
DIMENSIONS: tuple[Dimension, ...] = ("overall", "helpful", "harmless", "honest")
NUMBERS = ("votes", "most_votes", "certainty", "prompts_again", "lease_s", "undo_s", "pay_per_hour")
CHECKS = ("gold_share", "gold_exposures", "repeat_share")
SWITCHES = ("ties", "both_bad", "strength", "rationale", "spans", "edits")
GROUPS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "collecting": (NUMBERS, ("active",)),
    "checks": (CHECKS, ()),
    "answers": ((), SWITCHES),
}
"""What each form of the page changes: numbers, and what is on or off."""
STATUSES = ("open", "paused", "closed")
Version = Annotated[int | None, Query(ge=1, le=10**9)]


@router.get("")
async def projects(request: Request, who: Onlooker, console: Here) -> Response:
    """Every project that is open to the caller."""

    def query(connection: Connection) -> list[dict[str, Any]]:
        return [_row(connection, found) for found in all_projects(connection) if who.may_enter(found.id)]

    rows = await console.read(query)
    return await page(request, "projects", "lead", projects=rows, manages=_manages(who))


@router.get("/new")
async def new_project(request: Request, who: Manager, console: Here) -> Response:
    """The form of a new project."""
    who.check_unbound()
    query = select(prompts.c.dataset, func.count()).group_by(prompts.c.dataset).order_by(prompts.c.dataset)
    found = await console.read(lambda connection: [tuple(row) for row in connection.execute(query)])
    return await page(request, "new_project", "lead", datasets=found, dimensions=DIMENSIONS)


@router.post("/new")
async def make_project(request: Request, who: Manager, console: Here) -> Response:
    """{id, name, dataset, new_dataset, votes, most_votes, dimension.NAME ...}: a project, and items of its data set.

    Without `dataset` it gets the new and empty one of that name, and the answer leads to its first import.
    """
    who.check_unbound()
    fields = await fields_of(request)

    def work(unit: Unit) -> Project:
        named = tuple(name for name in DIMENSIONS if f"dimension.{name}" in fields)
        settings = _changed(ProjectSettings(), fields, ("votes", "most_votes"), ()) if named else None
        if settings is None:
            raise UsageError("a project asks along one dimension at least", cure="choose one")
        chosen = settings.model_copy(update={"dimensions": named})
        dataset = _dataset(unit.connection, fields)
        return create_project(unit, fields.get("id", ""), fields.get("name", ""), dataset, chosen, who.account_id)

    project = await or_back("/lead/new", console.write(work))
    await fill(console, project)
    return see(f"/lead/{project.id}" if fields.get("dataset") else f"/lead/{project.id}/import")


@router.get("/{project}/settings")
async def settings(request: Request, project: ProjectId, who: Onlooker, console: Here, saved: bool = False) -> Response:
    """Name, status and settings; forms for those who may change them."""
    found = await or_back("/lead", console.read(lambda connection: project_of(connection, project)))
    fields = ProjectSettings.model_fields
    about = {name: told_limits(name) for name in fields}
    return await page(
        request,
        "settings",
        "lead",
        project=found,
        values=found.settings.model_dump(mode="json"),
        limits=about,
        groups=GROUPS,
        statuses=STATUSES,
        manages=_manages(who),
        saved=saved,
    )


@router.post("/{project}/settings")
async def change_settings(request: Request, project: ProjectId, who: Manager, console: Here) -> Response:
    """{group, ...}: change one group of settings; `group` is `project` for {name, status}."""
    fields = await fields_of(request)
    back = f"/lead/{project}/settings"

    def work(unit: Unit) -> None:
        found = project_of(unit.connection, project)
        change_project(unit, found, who.account_id, **_changes(found, fields))

    await or_back(back, console.write(work))
    if fields.get("group") != "project":
        await resettle(console)
    return see(f"{back}?saved=true")


@router.get("/{project}/guidelines")
async def guidelines(
    request: Request, project: ProjectId, who: Onlooker, console: Here, version: Version = None, against: Version = None
) -> Response:
    """A version as raters see it, what it changed, and the editor."""
    return await _guidelines_page(request, project, who, console, version, against)


@router.post("/{project}/guidelines")
async def change_guidelines(request: Request, project: ProjectId, who: Manager, console: Here) -> Response:
    """{text, newest, did: preview | save}: show a text as raters would see it, or write a new version."""
    fields = await fields_of(request)
    text, back = fields.get("text", ""), f"/lead/{project}/guidelines"
    if fields.get("did") != "save":
        return await _guidelines_page(request, project, who, console, None, None, text)

    def work(unit: Unit) -> None:
        newest = guidelines_of(unit.connection, project)
        if newest.text == text:
            return  # Sent twice, or nothing changed.
        if str(newest.version) != fields.get("newest"):
            raise UsageError(
                f"version {newest.version} was written meanwhile", cure="compare it with your text, then save again"
            )
        write_guidelines(unit, project_of(unit.connection, project), text, who.account_id)

    await or_back(back, console.write(work))
    return see(back)


async def _guidelines_page(
    request: Request,
    project: str,
    who: Principal,
    console: Here,
    version: int | None,
    against: int | None,
    draft: str | None = None,
) -> Response:
    def query(connection: Connection) -> dict[str, Any]:
        found, newest = project_of(connection, project), guidelines_of(connection, project)
        shown = newest if version is None else guidelines_of(connection, project, version)
        base = guidelines_of(connection, project, against or max(1, shown.version - 1))
        return {
            "project": found,
            "newest": newest.version,
            "shown": _told(shown, names_of(connection, [shown.author])),
            "base": base.version,
            "changes": line_changes(base.text, shown.text) if base.version != shown.version else [],
            "text": shown.text if draft is None else draft,
        }

    told = await or_back("/lead", console.read(query))
    preview = None if draft is None else render(draft)
    versions = list(range(told["newest"], 0, -1))[:200]
    return await page(request, "guidelines", "lead", **told, preview=preview, versions=versions, manages=_manages(who))


def told_limits(name: str) -> dict[str, Any]:
    """The bounds of a setting, as an input has them."""
    schema = ProjectSettings.model_json_schema()["properties"][name]
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    return {"type": schema.get("type", ""), "least": least, "most": most}


def _told(found: Guidelines, names: Mapping[str, str]) -> dict[str, Any]:
    at = iso_time(found.at_ms) if found.version else ""
    author = names.get(found.author, found.author)
    return {"version": found.version, "html": render(found.text), "author": author, "at": at}


def _dataset(connection: Connection, fields: Mapping[str, str]) -> str:
    """The chosen data set, which is there, or the new one, which is not; raises UsageError."""
    chosen, new = fields.get("dataset", ""), fields.get("new_dataset", "").strip()
    name = chosen or new
    there = connection.execute(select(prompts.c.id).where(prompts.c.dataset == name).limit(1)).first() is not None
    if chosen and not there:
        raise UsageError(f"there is no data set {name[:60]!r}", cure="choose one that is there, or name a new one")
    if not chosen and there:
        raise UsageError(f"there is a data set {name[:60]!r} already", cure="choose it from the list")
    if not name or len(name) > 200 or not name.isprintable():
        raise UsageError("a data set has a name of 1 to 200 printable characters", cure="choose one, or name a new one")
    return name


def _changes(found: Project, fields: Mapping[str, str]) -> dict[str, Any]:
    group = fields.get("group", "")
    if group == "project":
        status, name = fields.get("status", ""), fields.get("name", "").strip()
        if status not in STATUSES or not name or len(name) > 200 or not name.isprintable():
            raise UsageError("a project has a name of 1 to 200 characters, and is open, paused or closed")
        return {"name": name, "status": status}
    if group not in GROUPS:
        raise UsageError(f"there is no group of settings {group[:20]!r}", cure="load the page again")
    return {"settings": _changed(found.settings, fields, *GROUPS[group])}


def _changed(
    settings: ProjectSettings, fields: Mapping[str, str], numbers: tuple[str, ...], switches: tuple[str, ...]
) -> ProjectSettings:
    values = settings.model_dump(mode="json")
    values |= {name: _number(name, fields[name]) for name in numbers if name in fields}
    values |= {name: name in fields for name in switches}
    try:
        return ProjectSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "settings"
        raise UsageError(f"{place}: {first['msg']}", cure="correct it and save again") from error


def _number(name: str, text: str) -> int | float:
    try:
        return int(text) if told_limits(name)["type"] == "integer" else float(text)
    except ValueError as error:
        raise UsageError(f"{name} is a number, not {text[:20]!r}", cure="correct it and save again") from error


def _row(connection: Connection, found: Project) -> dict[str, Any]:
    query = select(items.c.state, func.count()).where(items.c.project == found.id).group_by(items.c.state)
    states = {row[0]: row[1] for row in connection.execute(query)}
    return {"id": found.id, "name": found.name, "status": found.status, "dataset": found.dataset, "states": states}


def _manages(who: Principal) -> bool:
    return who.may(Permission.MANAGE_PROJECT)
