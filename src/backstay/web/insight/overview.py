"""A project at a glance: votes, items by state and certainty, judgments by day, and who is at work."""

from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from backstay.feedback.collection import Project, project_of
from backstay.feedback.collection.certainty import beliefs
from backstay.feedback.collection.raters import day_text
from backstay.storage.console_tables import assignments, items, rater_days, rater_stats
from backstay.web.agreement import Agreement, agreement_of
from backstay.web.insight.cohort_audit import interval_json
from backstay.web.insight.raters_table import shown_at_once
from backstay.web.insight.sampling import sampled_beliefs

STATES = ("open", "done", "disputed", "settled", "withdrawn")
CERTAINTIES = (0.99, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Lower bounds of the classes of certainty that are shown, the highest first; the last class is below them."""

SAMPLE = 1000
"""Items whose certainty is looked at."""

DAY_MS = 86_400_000
DAYS = 60
Json = dict[str, Any]


class Overview(NamedTuple):
    """What stands in a project. `wanted` counts votes that are still missing, `certain` sampled items by certainty."""

    project: Project
    at_ms: int
    items: dict[str, int]
    given: int
    wanted: int
    leased: int
    days: list[tuple[str, int]]
    certain: list[tuple[float, int]] | None
    agreement: list[Agreement]
    raters: int
    active_today: int
    worked_ms: int


def overview_of(connection: Connection, project_id: str, now_ms: int) -> Overview:
    """Count it; raises Rejected where there is no such project."""
    project = project_of(connection, project_id)
    mine = items.c.project == project.id
    states = dict.fromkeys(STATES, 0)
    states.update(
        dict(connection.execute(select(items.c.state, func.count()).where(mine).group_by(items.c.state)).all())
    )
    wanted = connection.execute(select(func.sum(items.c.wants)).where(mine, items.c.state == "open")).scalar()
    # Few are open among all that were: the time, which each has, leads SQLite to the index by both.
    held = (assignments.c.state == "open") & (assignments.c.expires_at_ms > 0) & (assignments.c.purpose == "vote")
    leased = connection.execute(select(func.count()).where(held, assignments.c.project == project.id)).scalar_one()
    since = now_ms // DAY_MS - DAYS + 1
    own = rater_days.c.project == project.id
    by_day = select(rater_days.c.day, func.sum(rater_days.c.judged)).where(own).group_by(rater_days.c.day)
    judged = {day: int(count) for day, count in connection.execute(by_day)}
    today = now_ms // DAY_MS
    active = select(func.count()).where(own, rater_days.c.day == today, rater_days.c.judged > 0)
    people = select(func.count(), func.sum(rater_stats.c.judged)).where(rater_stats.c.project == project.id)
    raters, given = connection.execute(people).one()
    worked = connection.execute(select(func.sum(rater_days.c.worked_ms)).where(own)).scalar()
    return Overview(
        project=project,
        at_ms=now_ms,
        items=states,
        given=int(given or 0),
        wanted=int(wanted or 0),
        leased=int(leased),
        days=_series(judged, since, today),
        certain=_certain(connection, project),
        agreement=agreement_of(connection, project.id),
        raters=int(raters),
        active_today=int(connection.execute(active).scalar_one()),
        worked_ms=int(worked or 0),
    )


def overview_json(found: Overview) -> Json:
    """An overview as JSON data; `done_share` is of all items that are not withdrawn."""
    total = sum(found.items.values()) - found.items["withdrawn"]
    finished = found.items["done"] + found.items["settled"]
    return {
        "project": found.project.id,
        "status": found.project.status,
        "at_ms": found.at_ms,
        "states": found.items,
        "items_total": total,
        "done_share": finished / total if total else 0.0,
        "votes": {"given": found.given, "wanted": found.wanted, "leased": found.leased},
        "hours_worked": round(found.worked_ms / 3_600_000, 2),
        "days": [{"day": day, "judged": judged} for day, judged in found.days],
        "certainty": None
        if found.certain is None
        else [{"least": least, "items": count} for least, count in found.certain],
        "agreement": [agreement_json(row) for row in found.agreement],
        "raters": {"all": found.raters, "active_today": found.active_today},
    }


def agreement_json(found: Agreement) -> Json:
    """Agreement along a dimension as JSON data."""
    return {
        "dimension": found.dimension,
        "alpha": interval_json(found.alpha),
        "raw": interval_json(found.raw),
        "states": found.items,
        "compared": found.compared,
        "votes": found.votes,
        "ties": found.ties,
        "both_bad": found.both_bad,
    }


def _series(judged: dict[int, int], since: int, today: int) -> list[tuple[str, int]]:
    """A count for each day of the last ones, from the first that has any."""
    known = [day for day in judged if since <= day <= today]
    first = min(known, default=today)
    return [(day_text(day), judged.get(day, 0)) for day in range(first, today + 1)]


def _certain(connection: Connection, project: Project) -> list[tuple[float, int]] | None:
    """Items by class of certainty along their least certain dimension, from a sample; None for rankings."""
    if shown_at_once(connection, project.id) != 2:
        return None
    kept = sampled_beliefs(connection, project.id, items.c.state != "withdrawn", SAMPLE)
    if not kept:
        return None
    found = beliefs(kept, project.settings).certainty
    bounds = [1.1, *CERTAINTIES, 0.0]
    return [(lower, int(((found >= lower) & (found < upper)).sum())) for upper, lower in pairwise(bounds)]
