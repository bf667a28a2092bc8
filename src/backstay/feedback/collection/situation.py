"""What an answer meets: its assignment, item, rater and project, in one query.

An answer takes some twenty statements; on a database across a socket each is a round trip, so none is spent twice.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, exists, select

from backstay.feedback.collection.items import Item, item_of
from backstay.feedback.collection.leasing import Assignment, assignment_of
from backstay.feedback.collection.project import Project, newest_guidelines, project_of_row
from backstay.feedback.collection.raters import RaterStats, stats_of_row
from backstay.feedback.collection.rejection import Rejected
from backstay.storage.console_tables import assignments, gold_items, items, projects, rater_stats

_TABLES = (assignments, items, rater_stats, projects)
_GOLD = exists(select(1).where(gold_items.c.project == items.c.project, gold_items.c.item_id == items.c.id))
_FIND = (
    select(*_TABLES, newest_guidelines(projects.c.id), _GOLD)
    .join(items, and_(items.c.project == assignments.c.project, items.c.id == assignments.c.item_id))
    .join(
        rater_stats,
        and_(rater_stats.c.project == assignments.c.project, rater_stats.c.rater_id == assignments.c.rater_id),
    )
    .join(projects, projects.c.id == assignments.c.project)
    .where(assignments.c.id == bindparam("assignment"), assignments.c.rater_id == bindparam("rater"))
)


class Situation(NamedTuple):
    """An assignment of a rater with all that belongs to it."""

    project: Project
    assignment: Assignment
    item: Item
    stats: RaterStats
    has_gold: bool


def situation_of(connection: Connection, assignment_id: str, rater_id: str) -> Situation:
    """The rater's assignment; raises Rejected not_found, which somebody else's assignment looks like as well."""
    row = connection.execute(_FIND, {"assignment": assignment_id, "rater": rater_id}).first()
    if row is None:
        raise Rejected("not_found", "there is no such assignment", cure="ask for the next one")
    assignment, item, stats, project = _parts(row)
    return Situation(
        project_of_row(project, int(row[-2] or 0)),
        assignment_of(assignment),
        item_of(item),
        stats_of_row(stats),
        bool(row[-1]),
    )


def _parts(row: Any) -> Iterator[dict[str, Any]]:
    """The row cut into the rows of its tables."""
    start = 0
    for table in _TABLES:
        names = table.c.keys()
        yield dict(zip(names, row[start : start + len(names)], strict=True))
        start += len(names)
