"""Who is asked what, for how long: an assignment is a lease on an item, and its end gives the item to others."""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    Connection,
    RowMapping,
    and_,
    bindparam,
    case,
    func,
    insert,
    select,
    update,
)

from backstay.feedback.collection.choosing import MINE, SHOWN, Pick, Purpose, pick
from backstay.feedback.collection.item_tasks import with_tasks
from backstay.feedback.collection.items import Item, find_item
from backstay.feedback.collection.project import Project
from backstay.feedback.collection.raters import RaterStats, join_project
from backstay.feedback.selection import order_shown
from backstay.records import uuid7
from backstay.storage.console_tables import assignments, items, rater_stats
from backstay.storage.engine import writing_at_once
from backstay.storage.unit import Unit

Why = Literal["", "done", "paused", "closed", "nothing_left", "requalify"]


# Statements of the way of an answer are built once: that costs more than SQLite takes to run them.
_FIND = select(assignments).where(assignments.c.id == bindparam("assignment"))
_ISSUE = insert(assignments)
_WRITE = update(assignments).where(assignments.c.id == bindparam("assignment"))
_LEASE = (
    update(items)
    .where(items.c.project == bindparam("of"), items.c.id == bindparam("item"))
    .values(leased=items.c.leased + bindparam("step"))
)
_COUNT_ISSUED = (
    update(rater_stats)
    .where(rater_stats.c.project == bindparam("of"), rater_stats.c.rater_id == bindparam("rater"))
    .values(issued=rater_stats.c.issued + 1)
)
_OPEN = select(assignments).where(MINE, assignments.c.settled_at_ms.is_(None), assignments.c.state == "open")
"""What is open is not settled, which an index finds among all that a rater ever did."""

_SEEN = (
    select(func.count(), func.coalesce(func.sum(case((assignments.c.item_id == bindparam("item"), 1), else_=0)), 0))
    .select_from(assignments)
    .where(SHOWN, assignments.c.prompt_id == bindparam("prompt"), assignments.c.id != bindparam("but"))
)


class Assignment(NamedTuple):
    """An assignment as it stands; `order_shown` lists indices of responses by the place where they are shown."""

    id: str
    project: str
    item_id: str
    prompt_id: str
    rater_id: str
    order_shown: tuple[int, ...]
    purpose: Purpose
    strategy: str
    propensity: float
    guidelines_version: int
    issued_at_ms: int
    expires_at_ms: int
    state: str
    key: str | None = None
    key_digest: str | None = None
    settled_at_ms: int | None = None
    answer: str | None = None
    judgment_ids: str | None = None
    undo_key: str | None = None
    undone_as: str | None = None


class Issued(NamedTuple):
    """The rater's assignment with its item, or why there is none."""

    assignment: Assignment | None
    item: Item | None
    why: Why = ""


def issue(unit: Unit, project: Project, rater_id: str, secret: bytes, *, knows_gold: bool = False) -> Issued:
    """The rater's open assignment, else a new one: none of gold for who `knows_gold`."""
    stats = join_project(unit, project, rater_id)
    return issue_after(unit, project, stats, secret, has_open=True, knows_gold=knows_gold)


def issue_after(
    unit: Unit, project: Project, stats: RaterStats, secret: bytes, *, has_open: bool, knows_gold: bool
) -> Issued:
    """The same for a rater whose row is known; without `has_open` no open assignment is looked for."""
    rater_id = stats.rater_id
    if project.status != "open":
        return Issued(None, None, "closed" if project.status == "closed" else "paused")
    if stats.status != "active":
        return Issued(None, None, "paused" if stats.status == "paused" else "requalify")
    for held in open_of(unit.connection, project.id, rater_id) if has_open else ():
        if held.expires_at_ms > unit.now_ms:
            return Issued(held, _still_asked(unit, project, held))
        release(unit.connection, held, "expired", unit.now_ms)
    drawn = pick(unit.connection, project, stats, secret, knows_gold=knows_gold)
    item = find_item(unit.connection, project.id, drawn.item_id) if drawn else None
    if drawn is None or item is None:
        return Issued(None, None, _why_nothing(unit.connection, project))
    item = with_tasks(unit, project, item)
    order = order_shown(secret, project.id, rater_id, item.id, stats.issued, len(item.response_ids))
    return Issued(lease(unit, project, rater_id, item, drawn, order), item)


def lease(unit: Unit, project: Project, rater_id: str, item: Item, drawn: Pick, order: tuple[int, ...]) -> Assignment:
    """Give an item to a rater, its responses in this order; the item has all its tasks."""
    found = Assignment(
        id=uuid7(),
        project=project.id,
        item_id=item.id,
        prompt_id=item.prompt_id,
        rater_id=rater_id,
        order_shown=order,
        purpose=drawn.purpose,
        strategy=drawn.strategy,
        propensity=drawn.propensity,
        guidelines_version=project.guidelines_version,
        issued_at_ms=unit.now_ms,
        expires_at_ms=unit.now_ms + 1000 * project.settings.lease_s,
        state="open",
    )
    with writing_at_once(unit.connection):
        unit.connection.execute(_ISSUE, found._asdict() | {"order_shown": json.dumps(order)})
        unit.connection.execute(_COUNT_ISSUED, {"of": project.id, "rater": rater_id})
        if drawn.purpose == "vote":
            unit.connection.execute(_LEASE, {"of": project.id, "item": item.id, "step": 1})
    return found


def find_assignment(connection: Connection, assignment_id: str) -> Assignment | None:
    """The assignment, or None."""
    row = connection.execute(_FIND, {"assignment": assignment_id}).mappings().first()
    return None if row is None else assignment_of(row)


def settle(connection: Connection, assignment: Assignment, **changes: Any) -> Assignment:
    """Write what changes about an assignment."""
    connection.execute(_WRITE, {"assignment": assignment.id, **changes})
    return assignment._replace(**changes)


def release(connection: Connection, assignment: Assignment, state: str, now_ms: int) -> None:
    """End an open assignment without an answer; its item can go to others."""
    settle(connection, assignment, state=state, settled_at_ms=now_ms)
    if assignment.purpose == "vote":
        connection.execute(_LEASE, {"of": assignment.project, "item": assignment.item_id, "step": -1})


def expire(unit: Unit, most: int = 500) -> int:
    """End leases that are over; how many. A late answer is still taken where nobody else has taken its place."""
    where = and_(assignments.c.state == "open", assignments.c.expires_at_ms <= unit.now_ms)
    rows = unit.connection.execute(select(assignments).where(where).limit(most)).mappings().all()
    for row in rows:
        release(unit.connection, assignment_of(row), "expired", unit.now_ms)
    return len(rows)


def seen_before(connection: Connection, assignment: Assignment, most: int) -> bool:
    """Whether the rater, apart from this assignment, has had its item, or as many items of the prompt as may be."""
    at = {"of": assignment.project, "rater": assignment.rater_id, "prompt": assignment.prompt_id, "but": assignment.id}
    of_prompt, of_item = connection.execute(_SEEN, at | {"item": assignment.item_id}).one()
    return bool(of_prompt >= most or of_item)


def _still_asked(unit: Unit, project: Project, held: Assignment) -> Item | None:
    """The assignment's item, asked along the dimensions of now."""
    item = find_item(unit.connection, project.id, held.item_id)
    return None if item is None else with_tasks(unit, project, item)


def open_of(connection: Connection, project_id: str, rater_id: str) -> list[Assignment]:
    """What a rater has open: one at most, as long as leases hold."""
    rows = connection.execute(_OPEN, {"of": project_id, "rater": rater_id}).mappings()
    return [assignment_of(row) for row in rows]


def assignment_of(row: RowMapping | Mapping[str, Any]) -> Assignment:
    """A row of the table by names of columns."""
    return Assignment(**{**row, "order_shown": tuple(json.loads(row["order_shown"]))})


def _why_nothing(connection: Connection, project: Project) -> Why:
    where = and_(items.c.project == project.id, items.c.state == "open")
    return "nothing_left" if connection.execute(select(items.c.id).where(where).limit(1)).first() else "done"
