"""The lead's pages: one project, its raters, one rater, the audit of cohorts. They work without script."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from backstay.errors import BackstayError
from backstay.feedback.collection import Project, RaterStats, Rejected, project_of
from backstay.feedback.collection.raters import day_text
from backstay.feedback.collection.standing import change_status
from backstay.feedback.collection.submission import storable
from backstay.storage.unit import Unit
from backstay.web.api.exports import KINDS
from backstay.web.api.insight import (
    At,
    RaterId,
    RaterManager,
    RaterReader,
    Reader,
    detail_of,
    run_json,
    table_of,
)
from backstay.web.api.rating import Here, ProjectId
from backstay.web.console import Console
from backstay.web.gate import Principal, form_of
from backstay.web.insight import charts
from backstay.web.insight.overview import DAY_MS, overview_json
from backstay.web.insight.rater_detail import pace_classes
from backstay.web.insight.raters_table import SORTS, Shown, Sort, chosen
from backstay.web.insight.services import Services
from backstay.web.pages import see
from backstay.web.permissions import Permission
from backstay.web.trust import TrustRun, last_done, last_runs
from backstay.web.visitors import page_visitor, pages_of
from backstay.web.webhooks.events import telling_status

router = APIRouter(prefix="/lead", include_in_schema=False)
PAGE_SIZE = 50
Page = Annotated[int, Query(ge=1, le=100_000)]
STATUSES = {"paused": "Pause", "requalify": "Ask to requalify", "active": "Take back"}
HEADS = (
    ("name", "Rater"),
    ("trust", "Trust"),
    ("agreement", "Agrees"),
    ("gold", "Gold"),
    ("pace", "Median"),
    ("position", "Chose 1st"),
    ("repeats", "Repeats"),
    ("judged", "Judged"),
    ("seen", "Last seen"),
)
"""Columns of the raters' table by what they sort by."""

Json = dict[str, Any]


@router.get("/{project}")
async def overview(request: Request, project: ProjectId, who: Reader, console: Here, services: At) -> Response:
    """One project at a glance."""
    who.check_enter(project)
    found = await services.overview(project)
    try:
        forecast = await services.forecast_soon(project)
        no_forecast = "" if forecast else "it is being computed; load the page again in a moment"
    except BackstayError as error:
        forecast, no_forecast = None, error.message
    return await _page(
        request,
        "insight_overview",
        **_place(who, found.project, "overview"),
        told=overview_json(found),
        certain=_classes(found.certain),
        forecast=forecast,
        no_forecast=no_forecast,
        simulated=await console.read(lambda connection: _simulated(connection, project)),
        may={"manage": who.may(Permission.MANAGE_PROJECT), "export": who.may(Permission.EXPORT)},
        formats=list(KINDS),
    )


@router.get("/{project}/raters")
async def raters(
    request: Request,
    project: ProjectId,
    who: RaterReader,
    console: Here,
    services: At,
    sort: Annotated[Sort, Query()] = "trust",
    down: Annotated[int, Query(ge=0, le=1)] = 0,
    shown: Annotated[Shown, Query()] = "all",
    text: Annotated[str, Query(max_length=200)] = "",
    page: Page = 1,
) -> Response:
    """Every rater, least trusted first."""
    who.check_enter(project)

    def query(connection: Connection) -> Any:
        return project_of(connection, project), *table_of(connection, project), last_runs(connection, project, most=1)

    found, rows, run, runs = await console.read(query)
    every = chosen(rows, sort, shown, text, down=bool(down))
    pages = max(1, -(-len(every) // PAGE_SIZE))
    page = min(page, pages)
    return await _page(
        request,
        "insight_raters",
        **_place(who, found, "raters"),
        rows=every[(page - 1) * PAGE_SIZE : page * PAGE_SIZE],
        asked={"sort": sort, "down": down, "shown": shown, "text": text, "page": page},
        pages=pages,
        total=len(every),
        counts=_counts(rows),
        heads=HEADS,
        sorts=SORTS,
        **_trust(run, runs, services, {row.id: row.name for row in rows}),
    )


@router.get("/{project}/raters/{rater}")
async def rater_page(request: Request, project: ProjectId, rater: RaterId, who: RaterReader, console: Here) -> Response:
    """One rater."""
    return await _rater(request, project, rater, who, console)


@router.post("/{project}/raters/{rater}/status")
async def rater_status(
    request: Request, project: ProjectId, rater: RaterId, who: RaterManager, console: Here
) -> Response:
    """{status, reason}: pause, requalify or take back."""
    who.check_enter(project)
    fields = await form_of(request)

    def work(unit: Unit) -> RaterStats:
        found, status = project_of(unit.connection, project), fields.get("status", "")
        reason = _text(fields.get("reason", ""))
        changed = change_status(unit, found, rater, status, who.account_id, reason)  # type: ignore[arg-type]  # checked there
        return telling_status(unit, changed)

    try:
        await console.write(work)
    except Rejected as error:
        if error.code == "not_found":
            raise
        return await _rater(request, project, rater, who, console, problem=error.message)
    except BackstayError as error:
        return await _rater(request, project, rater, who, console, problem=error.message)
    return see(request.url.path.removesuffix("/status"))


@router.post("/{project}/trust")
async def refresh_trust(
    request: Request, project: ProjectId, who: RaterManager, console: Here, services: At
) -> Response:
    """Compute trust anew."""
    who.check_enter(project)
    found = await console.read(lambda connection: project_of(connection, project))
    try:
        await services.trust.start(found.id, who.account_id)
    except BackstayError as error:
        visitor = await page_visitor(request)
        return pages_of(request).message(
            "Not now",
            error.message,
            status=409,
            visitor=visitor,
            cure=error.cure or "",
            back=f"/lead/{found.id}/raters",
        )
    return see(f"/lead/{found.id}/raters")


@router.get("/{project}/cohorts")
async def cohorts(request: Request, project: ProjectId, who: RaterReader, console: Here) -> Response:
    """The audit of cohorts."""
    who.check_enter(project)
    found, run = await console.read(
        lambda connection: (project_of(connection, project), last_done(connection, project))
    )
    audits = run.findings.get("cohorts", []) if run else []
    run_told = None if run is None else run_json(run)
    return await _page(request, "insight_cohorts", **_place(who, found, "cohorts"), audits=audits, run=run_told)


async def _rater(
    request: Request, project: str, rater: str, who: Principal, console: Console, problem: str = ""
) -> Response:
    who.check_enter(project)
    found, detail = await console.read(
        lambda connection: (project_of(connection, project), detail_of(connection, project, rater))
    )
    acts = [(status, label) for status, label in STATUSES.items() if status != detail.row.stats.status]
    return await _page(
        request,
        "insight_rater",
        status=400 if problem else 200,
        **_place(who, found, "raters"),
        detail=detail,
        row=detail.row,
        pace=pace_classes(dict(detail.row.stats.pace)),
        acts=acts if Permission.MANAGE_RATERS in who.permissions else [],
        problem=problem,
    )


async def _page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    visitor = await page_visitor(request)
    return pages_of(request).page(template, visitor, status=status, here="lead", charts=charts, day=_day, **values)


def _place(who: Principal, project: Project, tab: str) -> Json:
    return {
        "project": project,
        "tab": tab,
        "manages": Permission.MANAGE_RATERS in who.permissions,
    }


def _trust(run: TrustRun | None, runs: list[TrustRun], services: Services, names: dict[str, str]) -> Json:
    alarms = run.findings.get("alarms", []) if run else []
    return {
        "run": None if run is None else run_json(run),
        "latest": run_json(runs[0]) if runs else None,
        "running": bool(services.trust.running),
        "alarms": [
            alarm | {"who": [(rater, names.get(rater, rater)) for rater in alarm["raters"]]} for alarm in alarms
        ],
    }


def _counts(rows: Any) -> dict[str, int]:
    counts = {"all": len(rows), "active": 0, "paused": 0, "requalify": 0}
    for row in rows:
        counts[row.stats.status] += 1
    return counts | {
        "flagged": sum(row.flagged for row in rows),
        "simulated": sum(row.simulated for row in rows),
    }


def _simulated(connection: Connection, project_id: str) -> tuple[int, int]:
    """Simulated raters of a project, and all."""
    rows, _ = table_of(connection, project_id)
    return sum(row.simulated for row in rows), len(rows)


def _classes(certain: list[tuple[float, int]] | None) -> list[tuple[str, int]]:
    """Items by class of certainty, from the least certain, as a chart names them."""
    return [(f"{least:.0%} or more" if least else "below 50%", count) for least, count in reversed(certain or [])]


def _day(at_ms: int) -> str:
    return day_text(at_ms // DAY_MS)


def _text(text: str) -> str:
    try:
        return storable(text)
    except ValueError:
        return ""  # Refused as no reason.
