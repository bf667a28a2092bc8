"""Whether a rater may go on: pausing, asking to requalify, and taking back, each with a reason that is journalled."""

from typing import get_args

from sqlalchemy import select

from backstay.errors import UsageError
from backstay.feedback.collection.leasing import find_assignment, release
from backstay.feedback.collection.project import Project
from backstay.feedback.collection.raters import RaterStats, Status, stats_of, write_stats
from backstay.feedback.collection.rejection import Rejected
from backstay.storage.console_tables import assignments
from backstay.storage.unit import Unit

MAX_REASON = 1000
"""Characters."""


def change_status(unit: Unit, project: Project, rater_id: str, status: Status, by: str, reason: str) -> RaterStats:
    """Change a rater's status; unless it is `active`, what the rater had open goes to others.

    Raises Rejected where there is no such rater or the status is the rater's already, UsageError without a reason.
    """
    if status not in get_args(Status):
        raise UsageError(f"{status!r} is no status of a rater", cure=f"use one of {', '.join(get_args(Status))}")
    if not reason.strip() or len(reason) > MAX_REASON:
        raise UsageError(f"a reason of 1 to {MAX_REASON} characters is wanted", cure="say why, for whoever asks later")
    before = stats_of(unit.connection, project.id, rater_id)
    if before is None:
        raise Rejected("not_found", f"there is no rater {rater_id[:60]!r} in this project")
    if before.status == status:
        raise Rejected("conflict", f"the rater's status is {status} already", cure="load the page again")
    if status != "active":
        _give_back(unit, project.id, rater_id)
    changed = before._replace(status=status)
    write_stats(unit.connection, changed)
    told = {"by": by, "did": status, "was": before.status, "project": project.id, "rater": rater_id, "reason": reason}
    unit.note("console.rater", told)
    return changed


def _give_back(unit: Unit, project_id: str, rater_id: str) -> None:
    """Every lease of the rater ends, so that the next rater is asked at once."""
    where = (
        (assignments.c.project == project_id)
        & (assignments.c.rater_id == rater_id)
        & assignments.c.settled_at_ms.is_(None)
        & (assignments.c.state == "open")
    )
    for found in list(unit.connection.execute(select(assignments.c.id).where(where)).scalars()):
        held = find_assignment(unit.connection, found)
        if held is not None:
            release(unit.connection, held, "expired", unit.now_ms)
