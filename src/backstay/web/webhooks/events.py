"""What webhooks can be told of, and telling it in the transaction in which it happens."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from sqlalchemy import Connection, insert, select

from backstay.feedback.collection import RaterStats, Taken, Undone, find_assignment, find_item
from backstay.feedback.collection.proposing import Proposal
from backstay.feedback.collection.submission import iso_time
from backstay.records import canonical_json, uuid7
from backstay.storage.unit import Unit
from backstay.storage.webhook_tables import webhook_deliveries, webhooks

Event = Literal[
    "judgment.created",
    "judgment.retracted",
    "item.done",
    "item.disputed",
    "rater.paused",
    "import.done",
    "proposal.opened",
    "proposal.settled",
]
EVENTS: tuple[Event, ...] = get_args(Event)
_SWITCHED_ON = select(webhooks.c.id, webhooks.c.events).where(webhooks.c.state == "on").order_by(webhooks.c.id)
TEST_EVENT = "webhook.test"
"""Sent when an admin asks for it, whatever a webhook has chosen."""


def announce(unit: Unit, event: Event, data: Mapping[str, Any]) -> int:
    """Put an event into the outbox for each webhook that wants it; how many do."""
    wanted_by = [hook for hook, events in _switched_on(unit.connection) if event in events]
    put(unit, wanted_by, event, data)
    return len(wanted_by)


def put(unit: Unit, hooks: list[str], event: str, data: Mapping[str, Any]) -> str:
    """The event's id; it is the same for every webhook and every attempt."""
    event_id = f"msg_{uuid7()}"
    body = canonical_json({"type": event, "timestamp": iso_time(unit.now_ms), "data": dict(data)}).decode()
    fresh = {"state": "waiting", "attempts": 0, "created_ms": unit.now_ms, "next_at_ms": unit.now_ms, "last_error": ""}
    rows = [{"webhook_id": hook, "event_id": event_id, "event": event, "body": body, **fresh} for hook in hooks]
    if rows:
        unit.connection.execute(insert(webhook_deliveries), rows)
    return event_id


def telling_judgment(unit: Unit, assignment_id: str, take: Callable[[], Taken]) -> Taken:
    """Take an answer, and tell of it and of what became of its item."""
    if not _switched_on(unit.connection):
        return take()
    before = _item_state(unit.connection, assignment_id)
    taken = take()
    if not taken.is_new:
        return taken
    found = taken.assignment
    place = {"project": found.project, "item": found.item_id}
    announce(unit, "judgment.created", place | {"assignment": found.id, "rater": found.rater_id})
    after = _item_state(unit.connection, assignment_id)
    if after != before and after == "done":
        announce(unit, "item.done", place)
    if after != before and after == "disputed":
        announce(unit, "item.disputed", place)
    return taken


def telling_retraction(unit: Unit, undone: Undone) -> Undone:
    """Tell that a rater took a judgment back; sent again under its key it is told no second time."""
    if not undone.is_new:
        return undone
    found = undone.assignment
    about = {"project": found.project, "item": found.item_id, "rater": found.rater_id}
    announce(unit, "judgment.retracted", about)
    return undone


def telling_status(unit: Unit, changed: RaterStats) -> RaterStats:
    """Tell that a rater was paused or must qualify again, without the reason; taking back is not told."""
    if changed.status != "active":
        about = {"project": changed.project, "rater": changed.rater_id, "status": changed.status}
        announce(unit, "rater.paused", about)
    return changed


def telling_proposal(unit: Unit, found: Proposal) -> Proposal:
    """Tell that a change waits for a second person, or what became of it."""
    about = {"proposal": found.id, "kind": found.kind, "project": found.project, "state": found.state}
    announce(unit, "proposal.opened" if found.state == "waiting" else "proposal.settled", about)
    return found


def _switched_on(connection: Connection) -> list[tuple[str, str]]:
    """Webhooks and the JSON list of what each wants; a quote around each name keeps them apart."""
    return [(row.id, row.events) for row in connection.execute(_SWITCHED_ON)]


def _item_state(connection: Connection, assignment_id: str) -> str:
    found = find_assignment(connection, assignment_id)
    item = None if found is None else find_item(connection, found.project, found.item_id)
    return "" if item is None else item.state
