"""What a lead asks of the console: how a project goes, whom to believe, and what certainty costs; as JSON or CSV."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import Connection
from starlette.responses import JSONResponse, Response

from backstay.feedback.collection import RaterStats, Rejected, project_of
from backstay.feedback.collection.standing import MAX_REASON, change_status
from backstay.feedback.collection.submission import iso_time, storable
from backstay.storage.unit import Unit
from backstay.web.agreement import agreement_of
from backstay.web.api import shapes_insight as shapes
from backstay.web.api.paging import Limit
from backstay.web.api.rating import Here, ProjectId
from backstay.web.gate import Principal, allowed
from backstay.web.insight.overview import agreement_json, overview_json
from backstay.web.insight.rater_detail import RaterDetail, detail_json, rater_detail
from backstay.web.insight.raters_table import RaterRow, Shown, Sort, chosen, rater_rows, row_json
from backstay.web.insight.services import Question, Services, services_of
from backstay.web.insight.sheet import sheet
from backstay.web.permissions import Permission
from backstay.web.shown import Json
from backstay.web.trust import TrustRun, last_done, last_runs
from backstay.web.webhooks.events import telling_status

router = APIRouter(prefix="/api/v1", tags=["insight"])
Reader = Annotated[Principal, Depends(allowed(Permission.READ_PROJECT))]
RaterReader = Annotated[Principal, Depends(allowed(Permission.READ_RATERS))]
RaterManager = Annotated[Principal, Depends(allowed(Permission.MANAGE_RATERS))]
RaterId = Annotated[str, Path(max_length=200)]
Format = Annotated[Literal["json", "csv"], Query()]
At = Annotated[Services, Depends(services_of)]
OR_SHEET: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


class StatusChange(BaseModel):
    """A rater's new status, and why."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["active", "paused", "requalify"]
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)]

    @field_validator("reason")
    @classmethod
    def _reason_is_text(cls, value: str) -> str:
        return storable(value)


@router.get("/projects/{project}/overview", response_model=shapes.Overview)
async def get_overview(project: ProjectId, who: Reader, services: At) -> JSONResponse:
    """Votes given and wanted, items by state and certainty, judgments by day, agreement."""
    who.check_enter(project)
    return JSONResponse(overview_json(await services.overview(project)))


@router.get("/projects/{project}/agreement", response_model=shapes.Agreements, responses=OR_SHEET)
async def get_agreement(project: ProjectId, who: Reader, console: Here, format: Format = "json") -> Response:  # noqa: A002  the name of the query's parameter
    """Krippendorff's alpha and raw agreement by dimension, with 95 % intervals."""
    who.check_enter(project)

    def query(connection: Connection) -> list[Json]:
        project_of(connection, project)
        return [agreement_json(row) for row in agreement_of(connection, project)]

    rows = await console.read(query)
    return sheet(rows, f"{project}-agreement") if format == "csv" else JSONResponse({"agreement": rows})


@router.get("/projects/{project}/raters", response_model=shapes.Raters, responses=OR_SHEET)
async def get_raters(
    project: ProjectId,
    who: RaterReader,
    console: Here,
    sort: Annotated[Sort, Query()] = "trust",
    down: bool = False,
    shown: Annotated[Shown, Query()] = "all",
    text: Annotated[str, Query(max_length=200)] = "",
    after: Annotated[str, Query(max_length=200)] = "",
    limit: Limit = 100,
    format: Format = "json",  # noqa: A002  the name of the query's parameter
) -> Response:
    """Raters with trust, agreement, gold, pace and place bias; a CSV file holds all.

    The order is that of now: sorted by what changes, a rater may move from one page to another between requests.
    """
    who.check_enter(project)
    rows, run = await console.read(lambda connection: table_of(connection, project))
    found = chosen(rows, sort, shown, text, down=down)
    if format == "csv":
        return sheet([row_json(row) for row in found], f"{project}-raters")
    start = _behind(found, after)
    part = found[start : start + limit]
    more = part[-1].id if start + limit < len(found) else None
    told = {"raters": [row_json(row) for row in part], "total": len(found), "next": more}
    return JSONResponse(told | {"trust": None if run is None else run_json(run)})


@router.get("/projects/{project}/raters/{rater}", response_model=shapes.RaterDetail)
async def get_rater(project: ProjectId, rater: RaterId, who: RaterReader, console: Here) -> JSONResponse:
    """One rater with trust over time, days, pace and alarms."""
    who.check_enter(project)
    found = await console.read(lambda connection: detail_of(connection, project, rater))
    return JSONResponse(row_json(found.row) | detail_json(found))


@router.post("/projects/{project}/raters/{rater}/status", response_model=shapes.RaterStatus)
async def post_status(
    project: ProjectId, rater: RaterId, body: StatusChange, who: RaterManager, console: Here
) -> JSONResponse:
    """Pause a rater, ask to requalify, or take back; the reason is journalled."""
    who.check_enter(project)

    def work(unit: Unit) -> RaterStats:
        found = project_of(unit.connection, project)
        changed = change_status(unit, found, rater, body.status, who.account_id, body.reason)
        return telling_status(unit, changed)

    changed = await console.write(work)
    return JSONResponse({"rater": changed.rater_id, "status": changed.status})


@router.get("/projects/{project}/trust", response_model=shapes.TrustState)
async def get_trust(project: ProjectId, who: RaterReader, console: Here) -> JSONResponse:
    """The last runs of aggregation, the newest first, and what the last one that ended well found."""
    who.check_enter(project)

    def query(connection: Connection) -> tuple[list[TrustRun], TrustRun | None]:
        project_of(connection, project)
        return last_runs(connection, project), last_done(connection, project)

    runs, done = await console.read(query)
    alarms = done.findings.get("alarms", []) if done else []
    return JSONResponse({"runs": [run_json(run) for run in runs], "alarms": alarms})


@router.post("/projects/{project}/trust", status_code=202, response_model=shapes.TrustRun)
async def post_trust(project: ProjectId, who: RaterManager, console: Here, services: At) -> JSONResponse:
    """Compute trust anew, in a process of its own; 409 while it is being computed."""
    who.check_enter(project)
    await console.read(lambda connection: project_of(connection, project))
    return JSONResponse(run_json(await services.trust.start(project, who.account_id)), 202)


@router.get("/projects/{project}/cohorts", response_model=shapes.Cohorts, responses=OR_SHEET)
async def get_cohorts(project: ProjectId, who: RaterReader, console: Here, format: Format = "json") -> Response:  # noqa: A002  the name of the query's parameter
    """The audit of cohorts from the last aggregation; it changes no weight, and cohorts below 5 raters are left out."""
    who.check_enter(project)
    run = await console.read(lambda connection: _last_done(connection, project))
    audits = run.findings.get("cohorts", []) if run else []
    if format == "csv":
        rows = [{"field": audit["field"], **group} for audit in audits for group in audit["groups"]]
        return sheet(rows, f"{project}-cohorts")
    return JSONResponse({"trust": None if run is None else run_json(run), "cohorts": audits})


@router.get("/projects/{project}/forecast", response_model=shapes.Forecast)
async def get_forecast(
    project: ProjectId,
    who: Reader,
    services: At,
    certainty: Annotated[float | None, Query(gt=0.5, lt=1.0)] = None,
    most_votes: Annotated[int | None, Query(ge=1, le=50)] = None,
) -> JSONResponse:
    """Votes, hours and money to a wanted certainty, by simulation, with 95 % intervals."""
    who.check_enter(project)
    return JSONResponse(await services.forecast(Question(project, certainty, most_votes)))


def table_of(connection: Connection, project_id: str) -> tuple[list[RaterRow], TrustRun | None]:
    """Every rater of a project, and the run that their notes are of."""
    found = project_of(connection, project_id)
    run = last_done(connection, project_id)
    return rater_rows(connection, found, run.findings.get("notes", {}) if run else {}), run


def detail_of(connection: Connection, project_id: str, rater_id: str) -> RaterDetail:
    """One rater; whether the rater leans to a place is judged among all raters, as in the table."""
    found = project_of(connection, project_id)
    rows, run = table_of(connection, project_id)
    leans = next((row.leans for row in rows if row.id == rater_id), None)
    if leans is None:
        raise Rejected("not_found", f"there is no rater {rater_id[:60]!r} in this project")
    return rater_detail(connection, found, rater_id, run, leans)


def _behind(rows: Sequence[RaterRow], rater_id: str) -> int:
    """The place behind a rater's row; raises Rejected where there is no such row."""
    if not rater_id:
        return 0
    place = next((place for place, row in enumerate(rows) if row.id == rater_id), None)
    if place is None:
        raise Rejected("does_not_fit", "no rater of this list is so named", cure="begin anew", place="query.after")
    return place + 1


def run_json(run: TrustRun) -> Json:
    """A run as JSON data, without its findings."""
    told = {name: getattr(run, name) for name in ("state", "method", "judged", "took_ms", "problem")}
    return {"at": iso_time(run.at_ms), "started_by": run.started_by, **told}


def _last_done(connection: Connection, project_id: str) -> TrustRun | None:
    project_of(connection, project_id)
    return last_done(connection, project_id)
