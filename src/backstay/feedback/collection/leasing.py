"""Who is asked what, for how long: an assignment is a lease on an item, and its end gives the item to others."""

import json
import random
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, exists, func, insert, select, update

from backstay.feedback.collection.items import Item, find_item
from backstay.feedback.collection.project import Project, guidelines_version
from backstay.feedback.collection.raters import join_project
from backstay.feedback.collection.tally import write_item
from backstay.records import uuid7
from backstay.storage.console_tables import assignments, gold_items, items
from backstay.storage.unit import Unit

Why = Literal["", "done", "paused", "closed", "nothing_left", "requalify"]
Purpose = Literal["vote", "gold", "consistency"]
CANDIDATES, GOLD_CANDIDATES = 64, 8
REPEAT_AFTER = 10
"""Assignments that lie between a task and its repetition."""

HELD = ("open", "judged", "skipped")
"""States in which an assignment counts as having shown its prompt to its rater."""


_MINE = and_(assignments.c.project == bindparam("of"), assignments.c.rater_id == bindparam("rater"))
_SHOWN = and_(_MINE, assignments.c.state.in_(HELD), assignments.c.purpose != "consistency")
_SAME_PROMPT = assignments.c.prompt_id == items.c.prompt_id
# Statements of the way of an answer are built once: that costs more than SQLite takes to run them.
_FIND = select(assignments).where(assignments.c.id == bindparam("assignment"))
_WRITE = update(assignments).where(assignments.c.id == bindparam("assignment"))
_OPEN = select(assignments).where(_MINE, assignments.c.state == "open")
_SEEN = (
    select(func.count())
    .select_from(assignments)
    .where(_SHOWN, assignments.c.prompt_id == bindparam("prompt"), assignments.c.id != bindparam("but"))
)


def _unseen(again: bool) -> ColumnElement[bool]:
    """Items whose prompt the rater has not had as often as may be, and that are not the rater's already."""
    if not again:
        return ~exists(select(1).where(_SHOWN, _SAME_PROMPT))
    times = select(func.count()).where(_SHOWN, _SAME_PROMPT).scalar_subquery()
    return and_(times < bindparam("most"), ~exists(select(1).where(_SHOWN, assignments.c.item_id == items.c.id)))


def _open_items(again: bool) -> Select[str]:
    where = and_(items.c.project == bindparam("of"), items.c.state == "open", items.c.leased < items.c.wants)
    order = (items.c.priority.desc(), items.c.place.desc())  # One direction, so that the index gives the order.
    return select(items.c.id).where(where, _unseen(again)).order_by(*order).limit(CANDIDATES)


def _gold_candidates(again: bool) -> Select[str]:
    match = and_(gold_items.c.project == items.c.project, gold_items.c.item_id == items.c.id)
    where = and_(
        gold_items.c.project == bindparam("of"),
        gold_items.c.state == "active",
        gold_items.c.exposures < bindparam("exposures"),
    )
    query = select(items.c.id).join(gold_items, match).where(where, _unseen(again))
    return query.order_by(gold_items.c.exposures, items.c.place).limit(GOLD_CANDIDATES)


_OPEN_ITEMS = (_open_items(False), _open_items(True))
_GOLD_ITEMS = (_gold_candidates(False), _gold_candidates(True))


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


class Issued(NamedTuple):
    """The rater's assignment, or why there is none."""

    assignment: Assignment | None
    why: Why = ""


class _Pick(NamedTuple):
    item_id: str
    purpose: Purpose
    strategy: str
    propensity: float


def issue(unit: Unit, project: Project, rater_id: str, rng: random.Random) -> Issued:
    """The rater's open assignment, else a new one."""
    stats = join_project(unit, project, rater_id)
    if project.status != "open":
        return Issued(None, "closed" if project.status == "closed" else "paused")
    if stats.status != "active":
        return Issued(None, "paused" if stats.status == "paused" else "requalify")
    for held in _open_of(unit.connection, project.id, rater_id):
        if held.expires_at_ms > unit.now_ms:
            return Issued(held)
        release(unit.connection, held, "expired", unit.now_ms)
    pick = _pick(unit.connection, project, rater_id, rng)
    item = find_item(unit.connection, project.id, pick.item_id) if pick else None
    if pick is None or item is None:
        return Issued(None, _why_nothing(unit.connection, project))
    return Issued(lease(unit, project, rater_id, item, pick.purpose, pick.strategy, pick.propensity, rng))


def lease(
    unit: Unit,
    project: Project,
    rater_id: str,
    item: Item,
    purpose: Purpose,
    strategy: str,
    propensity: float,
    rng: random.Random,
) -> Assignment:
    """Give an item to a rater, its responses in a random order."""
    order = list(range(len(item.response_ids)))
    rng.shuffle(order)
    found = Assignment(
        id=uuid7(),
        project=project.id,
        item_id=item.id,
        prompt_id=item.prompt_id,
        rater_id=rater_id,
        order_shown=tuple(order),
        purpose=purpose,
        strategy=strategy,
        propensity=propensity,
        guidelines_version=guidelines_version(unit.connection, project.id),
        issued_at_ms=unit.now_ms,
        expires_at_ms=unit.now_ms + 1000 * project.settings.lease_s,
        state="open",
    )
    unit.connection.execute(insert(assignments), [found._asdict() | {"order_shown": json.dumps(order)}])
    if purpose == "vote":
        write_item(unit.connection, item._replace(leased=item.leased + 1))
    return found


def find_assignment(connection: Connection, assignment_id: str) -> Assignment | None:
    """The assignment, or None."""
    row = connection.execute(_FIND, {"assignment": assignment_id}).mappings().first()
    return None if row is None else _assignment(row)


def settle(connection: Connection, assignment: Assignment, **changes: Any) -> Assignment:
    """Write what changes about an assignment."""
    connection.execute(_WRITE, {"assignment": assignment.id, **changes})
    return assignment._replace(**changes)


def release(connection: Connection, assignment: Assignment, state: str, now_ms: int) -> None:
    """End an open assignment without an answer; its item can go to others."""
    settle(connection, assignment, state=state, settled_at_ms=now_ms)
    item = find_item(connection, assignment.project, assignment.item_id)
    if item is not None and assignment.purpose == "vote":
        write_item(connection, item._replace(leased=item.leased - 1))


def expire(unit: Unit, most: int = 500) -> int:
    """End leases that are over; how many. A late answer is still taken where nobody else has taken its place."""
    where = and_(assignments.c.state == "open", assignments.c.expires_at_ms <= unit.now_ms)
    rows = unit.connection.execute(select(assignments).where(where).limit(most)).mappings().all()
    for row in rows:
        release(unit.connection, _assignment(row), "expired", unit.now_ms)
    return len(rows)


def seen_before(connection: Connection, assignment: Assignment, most: int) -> bool:
    """Whether the rater, apart from this assignment, has had as many items of the prompt as may be."""
    at = {"of": assignment.project, "rater": assignment.rater_id, "prompt": assignment.prompt_id, "but": assignment.id}
    return int(connection.execute(_SEEN, at).scalar_one()) >= most


def _open_of(connection: Connection, project_id: str, rater_id: str) -> list[Assignment]:
    rows = connection.execute(_OPEN, {"of": project_id, "rater": rater_id}).mappings()
    return [_assignment(row) for row in rows]


def _assignment(row: Any) -> Assignment:
    return Assignment(**{**row, "order_shown": tuple(json.loads(row["order_shown"]))})


def _pick(connection: Connection, project: Project, rater_id: str, rng: random.Random) -> _Pick | None:
    draw = rng.random()
    settings = project.settings
    if draw < settings.gold_share and (gold := _gold(connection, project, rater_id, rng)) is not None:
        return _Pick(gold, "gold", "rotation", settings.gold_share)
    if settings.gold_share <= draw < settings.gold_share + settings.repeat_share:
        again = _repeat(connection, project, rater_id, rng)
        if again is not None:
            return _Pick(again, "consistency", "repeat", settings.repeat_share)
    found = _candidates(connection, project, rater_id)
    if not found:
        return None
    share = (1.0 - settings.gold_share - settings.repeat_share) / len(found)
    return _Pick(rng.choice(found), "vote", "active" if settings.active else "uniform", share)


def _candidates(connection: Connection, project: Project, rater_id: str) -> Sequence[str]:
    most = project.settings.prompts_again
    at = {"of": project.id, "rater": rater_id, "most": most}
    return connection.execute(_OPEN_ITEMS[most > 1], at).scalars().all()


def _gold(connection: Connection, project: Project, rater_id: str, rng: random.Random) -> str | None:
    """One of the least exposed gold items that the rater has not seen."""
    most, exposures = project.settings.prompts_again, project.settings.gold_exposures
    at = {"of": project.id, "rater": rater_id, "most": most, "exposures": exposures}
    found = connection.execute(_GOLD_ITEMS[most > 1], at).scalars().all()
    return rng.choice(found) if found else None


def _repeat(connection: Connection, project: Project, rater_id: str, rng: random.Random) -> str | None:
    """Something that the rater judged a while ago and was not asked again."""
    own = and_(assignments.c.project == project.id, assignments.c.rater_id == rater_id)
    judged = select(assignments.c.item_id).where(own, assignments.c.state == "judged")
    again = select(assignments.c.item_id).where(own, assignments.c.purpose == "consistency")
    order = assignments.c.settled_at_ms.desc()
    old = connection.execute(judged.order_by(order).offset(REPEAT_AFTER).limit(CANDIDATES)).scalars().all()
    repeated = set(connection.execute(again).scalars())
    left = [item_id for item_id in old if item_id not in repeated]
    return rng.choice(left) if left else None


def _why_nothing(connection: Connection, project: Project) -> Why:
    where = and_(items.c.project == project.id, items.c.state == "open")
    return "nothing_left" if connection.execute(select(items.c.id).where(where).limit(1)).first() else "done"
