"""Trust in raters, kept fresh: a run of aggregation in a process of its own, whenever enough new judgments came.

One runs at a time. Each run is a row of `trust_runs` and two rows of the journal; a failure stands in both.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, update

from backstay.errors import BackstayError, UsageError
from backstay.feedback.collection import all_projects
from backstay.feedback.collection.rejection import Rejected
from backstay.storage.console_tables import rater_stats, trust_history, trust_runs
from backstay.storage.engine import writing_at_once
from backstay.storage.unit import Unit
from backstay.web.console import Console

LEAST_NEW, NEW_SHARE = 50, 0.1
"""A run is due after so many judgments more than at the last one, as a number and as a share; both must be met."""

PAUSE_MS, AFTER_FAILURE_MS = 60_000, 600_000
MOST_S = 3600.0
A_WRITE = 50
"""Raters that one unit of work writes, so that judgments never wait long for it."""

_BELIEVE = (
    update(rater_stats)
    .where(rater_stats.c.project == bindparam("new_project"), rater_stats.c.rater_id == bindparam("new_rater_id"))
    .values(
        trust=bindparam("new_trust"),
        trust_low=bindparam("new_low"),
        trust_high=bindparam("new_high"),
        trust_at_ms=bindparam("new_at_ms"),
    )
)

NICE = 15
"""How far aggregation stands behind raters' answers for the processor: nice(2)."""

ON_ITS_OWN = "console"
Json = dict[str, Any]
Worker = Callable[[Mapping[str, Any]], Awaitable[Json]]
_log = logging.getLogger("backstay.web")


class TrustRun(NamedTuple):
    """A run; `state` is running, done or failed; `findings` is what the worker told, without the raters' trust."""

    at_ms: int
    state: str
    started_by: str
    method: str
    judged: int
    took_ms: int
    problem: str
    findings: Json


class WorkerFailed(BackstayError):
    """The process that aggregates told of an error, or ended."""


async def run_worker(asked: Mapping[str, Any]) -> Json:
    """Aggregate in another process; raises WorkerFailed. Cancelling it ends the process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "backstay.web.trust_worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)  # From outside: loading its libraries is half of its work.
    try:
        out, said = await asyncio.wait_for(process.communicate(json.dumps(dict(asked)).encode()), MOST_S)
    except TimeoutError as error:
        raise WorkerFailed(f"aggregation took longer than {MOST_S:.0f} s and was ended") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        told: Json = json.loads(out)
        return told
    if process.returncode == 3:
        raise WorkerFailed(str(json.loads(out)["problem"]))
    _log.error("aggregation ended with %s: %s", process.returncode, said.decode("utf-8", "replace")[-4000:])
    raise WorkerFailed(f"aggregation ended with code {process.returncode}", cure="the server's log says more")


class TrustRefresh:
    """Starts runs and writes what they find. `worker` is replaced in tests."""

    def __init__(self, console: Console, worker: Worker = run_worker) -> None:
        self._console, self._worker = console, worker
        self._task: asyncio.Task[None] | None = None
        self._project = ""
        self._starting = self._tidied = False

    @property
    def running(self) -> str:
        """The project that is being aggregated; empty where none is."""
        return self._project if self._starting or (self._task is not None and not self._task.done()) else ""

    async def start(self, project_id: str, by: str) -> TrustRun:
        """Start a run; raises Rejected while one is going on, in whatever project."""
        if self.running:
            raise Rejected("conflict", "trust is being computed already", cure="wait until it is done")
        self._project, self._starting = project_id, True
        try:
            run = await self._console.write(lambda unit: _begin(unit, project_id, by))
            self._task = asyncio.ensure_future(self._run(project_id, run))
        finally:
            self._starting = False
        return run

    async def tend(self) -> None:
        """Start what is due."""
        if self.running:
            return
        if not self._tidied:
            await self._console.write(_end_left_over)
            self._tidied = True
        now_ms = self._console.clock()
        due = await self._console.read(lambda connection: due_project(connection, now_ms))
        if due:
            await self.start(due, ON_ITS_OWN)

    async def wait(self) -> None:
        """Until the run is over."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """End the run that is going on; its row is closed when the console is opened again."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, project_id: str, run: TrustRun) -> None:
        console = self._console
        database = console.engine.url.render_as_string(hide_password=False)
        try:
            told = await self._worker({"database": database, "project": project_id})
            raters = told.pop("raters")
            for start in range(0, len(raters), A_WRITE):
                part = raters[start : start + A_WRITE]
                await console.write(lambda unit, rows=part: _write_trust(unit, project_id, run.at_ms, rows))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            told["notes"] = {row["rater_id"]: row["notes"] for row in raters if row["notes"]}
            ended = run._replace(state="done", method=told["method"], findings=told)
        except BackstayError as error:
            ended = run._replace(state="failed", problem=error.message[:500])
            _log.error("trust of project %s: %s", project_id, error)
        except (OSError, ValueError, KeyError) as error:
            ended = run._replace(state="failed", problem=f"aggregation could not be run: {type(error).__name__}")
            _log.exception("trust of project %s", project_id)
        await console.write(lambda unit: _end(unit, project_id, ended))


def last_runs(connection: Connection, project_id: str, most: int = 20) -> list[TrustRun]:
    """The newest runs of a project, the last one first."""
    query = select(trust_runs).where(trust_runs.c.project == project_id).order_by(trust_runs.c.at_ms.desc()).limit(most)
    return [_trust_run(row) for row in connection.execute(query)]


def last_done(connection: Connection, project_id: str) -> TrustRun | None:
    """The newest run that found something."""
    where = (trust_runs.c.project == project_id) & (trust_runs.c.state == "done")
    row = connection.execute(select(trust_runs).where(where).order_by(trust_runs.c.at_ms.desc()).limit(1)).first()
    return None if row is None else _trust_run(row)


def due_project(connection: Connection, now_ms: int) -> str:
    """A project with enough new judgments since its last run; empty where there is none."""
    query = select(rater_stats.c.project, func.sum(rater_stats.c.judged)).group_by(rater_stats.c.project)
    judged = {row[0]: int(row[1]) for row in connection.execute(query)}
    for project in all_projects(connection):
        if project.status == "open" and is_due(
            judged.get(project.id, 0), last_runs(connection, project.id, most=1), now_ms
        ):
            return project.id
    return ""


def is_due(judged: int, runs: Sequence[TrustRun], now_ms: int) -> bool:
    """Whether so many judgments want a new run."""
    if not runs:
        return judged >= LEAST_NEW
    last = runs[0]
    if _goes_on(last, now_ms):
        return False
    waits = AFTER_FAILURE_MS if last.state == "failed" else PAUSE_MS
    return now_ms - last.at_ms >= waits and judged - last.judged >= max(LEAST_NEW, NEW_SHARE * last.judged)


def _begin(unit: Unit, project_id: str, by: str) -> TrustRun:
    last = last_runs(unit.connection, project_id, most=1)
    if last and _goes_on(last[0], unit.now_ms):
        raise Rejected("conflict", "another server computes this project's trust", cure="wait until it is done")
    judged = select(func.sum(rater_stats.c.judged)).where(rater_stats.c.project == project_id)
    count = int(unit.connection.execute(judged).scalar() or 0)
    if not count:
        raise UsageError("nobody has judged anything in this project yet", cure="wait for the first judgments")
    latest = select(func.max(trust_runs.c.at_ms)).where(trust_runs.c.project == project_id)
    at_ms = max(unit.now_ms, int(unit.connection.execute(latest).scalar() or 0) + 1)
    run = TrustRun(at_ms, "running", by, "", count, 0, "", {})
    unit.connection.execute(insert(trust_runs), [_row(project_id, run)])
    unit.note("console.trust", {"by": by, "did": "start", "project": project_id, "judged": count})
    return run


def _end(unit: Unit, project_id: str, run: TrustRun) -> None:
    ended = run._replace(took_ms=max(0, unit.now_ms - run.at_ms))
    where = (trust_runs.c.project == project_id) & (trust_runs.c.at_ms == run.at_ms)
    unit.connection.execute(update(trust_runs).where(where).values(_row(project_id, ended)))
    told = {"by": run.started_by, "did": ended.state, "project": project_id, "judged": ended.judged}
    unit.note("console.trust", told | ({"problem": ended.problem} if ended.problem else {}))


def _goes_on(run: TrustRun, now_ms: int) -> bool:
    """Whether a server of this database may still be at it; what is older was left behind by one that was killed."""
    return run.state == "running" and now_ms - run.at_ms < 1000 * MOST_S


def _end_left_over(unit: Unit) -> None:
    """Runs that the server was stopped in."""
    problem = "the server was stopped before it was done"
    left = trust_runs.c.state == "running"
    unit.connection.execute(update(trust_runs).where(left).values(state="failed", problem=problem))


def _write_trust(unit: Unit, project_id: str, at_ms: int, rows: Sequence[Json]) -> None:
    """Trust of those raters who are in the project; others came with the data set."""
    ids = [row["rater_id"] for row in rows]
    mine = (rater_stats.c.project == project_id) & rater_stats.c.rater_id.in_(ids)
    here = set(unit.connection.execute(select(rater_stats.c.rater_id).where(mine)).scalars())
    history = [
        {
            "project": project_id,
            "rater_id": row["rater_id"],
            "at_ms": at_ms,
            "trust": row["trust"],
            "low": row["low"],
            "high": row["high"],
            "judged": row["n_judgments"],
        }
        for row in rows
        if row["rater_id"] in here
    ]
    if history:
        with writing_at_once(unit.connection):
            unit.connection.execute(
                _BELIEVE, [{f"new_{name}": value for name, value in row.items()} for row in history]
            )
            unit.connection.execute(insert(trust_history), history)


def _row(project_id: str, run: TrustRun) -> Json:
    return run._asdict() | {"project": project_id, "findings": json.dumps(run.findings)}


def _trust_run(row: Any) -> TrustRun:
    values = {name: getattr(row, name) for name in TrustRun._fields}
    return TrustRun(**values | {"findings": json.loads(row.findings)})
