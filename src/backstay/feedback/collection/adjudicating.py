"""Adjudication: a reviewer settles a disputed item, and sees what the raters said only afterwards.

The responses come in an order that is random by reviewer and round and needs no row of its own, so that it is the same
when the page is loaded again and when the verdict comes.
"""

import json
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select

from backstay.feedback.collection.deciders import Decider, has_rated, stated
from backstay.feedback.collection.items import Item, as_json, find_item, item_of
from backstay.feedback.collection.project import Project
from backstay.feedback.collection.rejection import Rejected
from backstay.feedback.collection.submission import Answer, choice_of
from backstay.feedback.collection.tally import write_item
from backstay.records import Choice, Dimension, content_hash, uuid7
from backstay.storage.console_tables import adjudications, items
from backstay.storage.tables import journal
from backstay.storage.unit import Unit

PAGE = 50


class Dispute(NamedTuple):
    """A disputed item as a reviewer gets it. `order` lists indices of responses by the place where they are shown.

    `round` counts the earlier adjudications, each of one dimension; a verdict names the round that it was made for.
    """

    item: Item
    order: tuple[int, ...]
    round: int
    dimensions: tuple[Dimension, ...]


class Adjudication(NamedTuple):
    """What somebody decided along one dimension."""

    dimension: str
    choice: Choice
    person: str
    reason: str
    at_ms: int


class Settled(NamedTuple):
    """What came of a verdict; `is_new` is false where the same one had been taken before."""

    item: Item
    adjudications: tuple[Adjudication, ...]
    is_new: bool


def disputes(
    connection: Connection, project: Project, who: Decider, after: str = "", limit: int = PAGE
) -> list[tuple[Item, bool]]:
    """A page of disputed items in order of id, each with whether this person may decide it."""
    where = (items.c.project == project.id) & (items.c.state == "disputed") & (items.c.id > after)
    rows = connection.execute(select(items).where(where).order_by(items.c.id).limit(limit)).mappings()
    return [(item_of(row), not has_rated(connection, who, project.id, row["id"])) for row in rows]


def count_disputes(connection: Connection, project_id: str) -> int:
    """How many items wait for a reviewer."""
    where = (items.c.project == project_id) & (items.c.state == "disputed")
    return int(connection.execute(select(func.count()).select_from(items).where(where)).scalar_one())


def next_dispute(connection: Connection, project: Project, who: Decider, after: str = "") -> str | None:
    """Id of the next item that this person may decide; begins anew behind the last one."""
    for start in (after, "") if after else ("",):
        place: str = start
        while page := disputes(connection, project, who, place):
            found = next((item.id for item, may in page if may and item.id != after), None)
            if found is not None:
                return found
            place = page[-1][0].id
    return None


def dispute_of(connection: Connection, project: Project, item_id: str, who: Decider) -> Dispute:
    """The item, blind. Raises Rejected where it is not disputed, or where this person has rated it."""
    item = _item(connection, project, item_id)
    if item.state != "disputed":
        raise Rejected("conflict", f"this item is {item.state}, not disputed", cure="take the next one of the queue")
    if has_rated(connection, who, project.id, item.id):
        raise Rejected("own_item", "you have rated this item yourself", cure="leave it to another reviewer")
    found = len(adjudications_of(connection, project.id, item.id))
    return Dispute(item, _order(item, who, found), found, _dimensions(project, item))


def adjudicate(
    unit: Unit, project: Project, item_id: str, who: Decider, round_: int, answers: Sequence[Answer], reason: str
) -> Settled:
    """Settle an item; the same verdict sent twice is stored once.

    Raises Rejected: not_found, own_item, does_not_fit, and conflict where somebody was faster.
    """
    text = stated(reason)
    item = _item(unit.connection, project, item_id)
    before = adjudications_of(unit.connection, project.id, item.id)
    order = _order(item, who, round_)
    choices = _choices(project, item, order, answers)
    if item.state != "disputed" or len(before) != round_:
        return _taken_before(item, before[round_:], who, choices, text)
    dispute_of(unit.connection, project, item_id, who)
    made = [Adjudication(name, choice, who.account_id, text, unit.now_ms) for name, choice in choices.items()]
    unit.connection.execute(insert(adjudications), [_row(project, item, found) for found in made])
    settled = write_item(unit.connection, item._replace(state="settled", wants=0))
    told = {name: choice.payload() for name, choice in choices.items()}
    about = {"by": who.account_id, "project": project.id, "item": item.id, "order_shown": list(order)}
    unit.note("console.adjudication", about | {"did": "settle", "round": round_, "choices": told, "reason": text})
    return Settled(settled, tuple(made), True)


def open_dispute(unit: Unit, project: Project, item_id: str, who: Decider, reason: str) -> Item:
    """Have an item that raters are done with, or that was settled, decided by a reviewer. Raises Rejected."""
    text = stated(reason)
    item = _item(unit.connection, project, item_id)
    if item.state == "disputed":
        return item
    if item.state not in ("done", "settled"):
        raise Rejected("conflict", f"this item is {item.state}", cure="wait until its raters are done")
    about = {"by": who.account_id, "project": project.id, "item": item.id}
    unit.note("console.adjudication", about | {"did": "open", "was": item.state, "reason": text})
    return write_item(unit.connection, item._replace(state="disputed", wants=0))


def opened_by_people(connection: Connection, project_id: str) -> frozenset[str]:
    """Items that people opened a dispute of, whatever the votes say."""
    opened = journal.c.payload.contains('"did":"open"', autoescape=True)
    query = select(journal.c.payload).where(journal.c.kind == "console.adjudication", opened)
    told = [json.loads(payload) for payload in connection.execute(query).scalars()]
    return frozenset(found["item"] for found in told if found["project"] == project_id and found["did"] == "open")


def adjudications_of(connection: Connection, project_id: str, item_id: str) -> list[Adjudication]:
    """What was decided of an item, oldest first."""
    where = (adjudications.c.project == project_id) & (adjudications.c.item_id == item_id)
    rows = connection.execute(select(adjudications).where(where).order_by(adjudications.c.at_ms, adjudications.c.id))
    return [
        Adjudication(row.dimension, Choice.model_validate_json(row.choice), row.person, row.reason, row.at_ms)
        for row in rows
    ]


def _item(connection: Connection, project: Project, item_id: str) -> Item:
    item = find_item(connection, project.id, item_id)
    if item is None:
        raise Rejected("not_found", "there is no such item in this project")
    return item


def _dimensions(project: Project, item: Item) -> tuple[Dimension, ...]:
    return tuple(name for name in project.settings.dimensions if name in item.task_ids)


def _order(item: Item, who: Decider, round_: int) -> tuple[int, ...]:
    order = list(range(len(item.response_ids)))
    seed = content_hash(["adjudication", item.project, item.id, who.account_id, round_])
    random.Random(seed).shuffle(order)  # noqa: S311  an order that favours nobody, no secret
    return tuple(order)


def _choices(project: Project, item: Item, order: Sequence[int], answers: Sequence[Answer]) -> dict[Dimension, Choice]:
    wanted = _dimensions(project, item)
    found = {answer.dimension: answer for answer in answers}
    if len(found) < len(answers) or set(found) != set(wanted):
        raise Rejected("does_not_fit", f"one answer is wanted for each of: {', '.join(wanted)}", place="answers")
    allowing = project.settings.model_copy(update={"ties": True, "both_bad": True})
    return {name: choice_of(found[name], order, allowing) for name in wanted}


def _taken_before(
    item: Item, taken: Sequence[Adjudication], who: Decider, choices: Mapping[Dimension, Choice], text: str
) -> Settled:
    """The same verdict again is answered as before; anything else came too late."""
    mine = tuple(found for found in taken if found.person == who.account_id and found.reason == text)
    if mine and {found.dimension: found.choice for found in mine[: len(choices)]} == dict(choices):
        return Settled(item, mine, False)
    if item.state == "disputed" or taken:
        raise Rejected("conflict", "this item has been decided meanwhile", cure="take the next one of the queue")
    raise Rejected("conflict", f"this item is {item.state}, not disputed", cure="take the next one of the queue")


def _row(project: Project, item: Item, found: Adjudication) -> dict[str, object]:
    values = found._asdict() | {"choice": as_json(found.choice.payload())}
    return {"id": uuid7(), "project": project.id, "item_id": item.id, **values}
