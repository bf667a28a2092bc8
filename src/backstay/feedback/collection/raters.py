"""What is counted of every rater of a project while the answers come in."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    RowMapping,
    Table,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from backstay.feedback.collection.project import Project
from backstay.records import Rater
from backstay.storage.console_tables import rater_days, rater_stats
from backstay.storage.unit import Unit

Status = Literal["active", "paused", "requalify"]
PRIOR_RIGHT, PRIOR_WRONG = 6.0, 2.0
"""A new rater counts as one who was right on six clear pairs and wrong on two."""

_DAY_MS = 86_400_000
_STEPS = 4
"""Bins of the pace for each doubling of the time."""


_MINE = (rater_stats.c.project == bindparam("of")) & (rater_stats.c.rater_id == bindparam("rater"))
_FIND, _WRITE = select(rater_stats).where(_MINE), update(rater_stats).where(_MINE)


_DAYS = (
    select(rater_days.c.day, rater_days.c.judged)
    .where(rater_days.c.project == bindparam("of"), rater_days.c.rater_id == bindparam("rater"))
    .where(rater_days.c.judged > 0)
    .order_by(rater_days.c.day.desc())
    .limit(400)
)


def _adding_to_day(insert: Callable[[Table], Any], larger: Callable[..., ColumnElement[int]]) -> Any:
    """Add to a rater's day; undoing on another day than judging takes from a day what it has not."""
    more = {"judged": bindparam("n", type_=Integer), "worked_ms": bindparam("ms", type_=BigInteger)}
    new = insert(rater_days).values({name: larger(0, step) for name, step in more.items()})
    added = {name: larger(0, rater_days.c[name] + step) for name, step in more.items()}
    return new.on_conflict_do_update(index_elements=["project", "rater_id", "day"], set_=added)


_COUNT_DAY = {
    "sqlite": _adding_to_day(sqlite.insert, func.max),
    "postgresql": _adding_to_day(postgresql.insert, func.greatest),
}


class RaterStats(NamedTuple):
    """A rater's row. `pace` counts judgments by time taken, in bins of a quarter of a doubling of milliseconds."""

    project: str
    rater_id: str
    status: Status
    issued: int = 0
    judged: int = 0
    skipped: int = 0
    retracted: int = 0
    gold_seen: int = 0
    gold_right: int = 0
    repeats: int = 0
    repeats_same: int = 0
    compared: int = 0
    agreed: int = 0
    decided: int = 0
    chose_first: int = 0
    pace: Mapping[str, int] = MappingProxyType({})
    trust: float = PRIOR_RIGHT / (PRIOR_RIGHT + PRIOR_WRONG)
    trust_low: float = 0.42
    trust_high: float = 0.96
    trust_at_ms: int | None = None
    first_at_ms: int = 0
    last_at_ms: int = 0

    @property
    def median_ms(self) -> float | None:
        """Median time a judgment, to a tenth of a doubling."""
        half, passed = sum(self.pace.values()) / 2, 0
        for step in sorted(self.pace, key=int):
            passed += self.pace[step]
            if passed >= half:
                return float(2.0 ** ((int(step) + 0.5) / _STEPS))
        return None


def stats_of(connection: Connection, project_id: str, rater_id: str) -> RaterStats | None:
    """The rater's row, or None before the first assignment."""
    row = connection.execute(_FIND, {"of": project_id, "rater": rater_id}).mappings().first()
    return None if row is None else stats_of_row(row)


def all_stats(connection: Connection, project_id: str) -> list[RaterStats]:
    """Every rater of a project, in order of id."""
    query = select(rater_stats).where(rater_stats.c.project == project_id).order_by(rater_stats.c.rater_id)
    return [stats_of_row(row) for row in connection.execute(query).mappings()]


def join_project(unit: Unit, project: Project, rater_id: str) -> RaterStats:
    """The rater's row, made at the first visit together with the record that judgments refer to, which has no name."""
    found = stats_of(unit.connection, project.id, rater_id)
    if found is not None:
        return found
    # Another project on the same data set may have added the rater.
    if rater_id not in unit.batch.stored("raters", project.dataset, [rater_id]):
        unit.batch.add_raters(project.dataset, [Rater(id=rater_id, display_name=rater_id)])
    new = RaterStats(project.id, rater_id, "active", first_at_ms=unit.now_ms, last_at_ms=unit.now_ms)
    unit.connection.execute(insert(rater_stats), [_row(new)])
    return new


def write_stats(connection: Connection, stats: RaterStats) -> None:
    """Write a rater's row."""
    connection.execute(_WRITE, {"of": stats.project, "rater": stats.rater_id, **_row(stats)})


def with_pace(stats: RaterStats, duration_ms: int, sign: int) -> RaterStats:
    """One judgment more or less of this length."""
    step = str(math.floor(math.log2(max(1, duration_ms)) * _STEPS))
    pace = dict(stats.pace) | {step: stats.pace.get(step, 0) + sign}
    return stats._replace(pace={name: n for name, n in pace.items() if n > 0})


def count_day(connection: Connection, project_id: str, rater_id: str, now_ms: int, judged: int, worked_ms: int) -> None:
    """Add to the rater's day, by UTC."""
    at = {"project": project_id, "rater_id": rater_id, "day": now_ms // _DAY_MS}
    connection.execute(_COUNT_DAY[connection.dialect.name], at | {"n": judged, "ms": worked_ms})


def streak_days(connection: Connection, project_id: str, rater_id: str, now_ms: int) -> tuple[int, int]:
    """Judgments of today, and on how many days in a row, up to today or yesterday, there was one."""
    today = now_ms // _DAY_MS
    rows = connection.execute(_DAYS, {"of": project_id, "rater": rater_id})
    judged = {row.day: row.judged for row in rows}
    last = today if today in judged else today - 1
    streak = 0
    while last - streak in judged:
        streak += 1
    return judged.get(today, 0), streak


def day_text(day: int) -> str:
    """A day as in 2026-01-31."""
    return datetime.fromtimestamp(day * _DAY_MS / 1000, UTC).date().isoformat()


def stats_of_row(row: RowMapping | Mapping[str, Any]) -> RaterStats:
    """A row of the table by names of columns."""
    return RaterStats(**{**row, "pace": json.loads(row["pace"])})


def _row(stats: RaterStats) -> dict[str, Any]:
    return stats._asdict() | {"pace": json.dumps(dict(stats.pace), sort_keys=True)}
