"""The outbox: what each webhook has yet to confirm, what it confirmed, and what was given up."""

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Row, delete, func, select, update

from backstay.storage.unit import Unit
from backstay.storage.webhook_tables import webhook_deliveries, webhooks
from backstay.web.accounts.refusal import not_here
from backstay.web.webhooks.events import TEST_EVENT, put

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5, 21_600
MOST_QUIET_S = 60
"""For at most so long a webhook that failed is left alone; one bad event holds up no others for longer."""
BUSY_MS = 180_000
"""For so long nobody else sends what one process has taken."""
BATCH = 20
"""Events that one webhook is sent in a row."""

State = Literal["waiting", "delivered", "dead"]
_table = webhook_deliveries


class Delivery(NamedTuple):
    """An event on its way to a webhook."""

    id: int
    webhook_id: str
    event_id: str
    event: str
    body: str
    state: State
    attempts: int
    created_ms: int
    next_at_ms: int | None
    ended_ms: int | None
    last_error: str


def has_due(connection: Connection, now_ms: int) -> bool:
    """Whether anything is due."""
    return connection.execute(select(_table.c.id).where(_table.c.next_at_ms <= now_ms).limit(1)).first() is not None


def take_due(unit: Unit, busy: Collection[str], limit: int) -> dict[str, list[Delivery]]:
    """The oldest events that are due, by webhook: of those that are on, not busy, and did not fail just now."""
    may = func.coalesce(webhooks.c.quiet_until_ms, 0) <= unit.now_ms
    ready = select(webhooks.c.id).where(webhooks.c.state == "on", webhooks.c.id.not_in(busy), may)
    found = {hook: _due_of(unit, hook) for hook in unit.connection.execute(ready).scalars().all()}
    taken = dict([(hook, due) for hook, due in found.items() if due][:limit])
    ids = [delivery.id for due in taken.values() for delivery in due]
    if ids:
        unit.connection.execute(update(_table).where(_table.c.id.in_(ids)).values(next_at_ms=unit.now_ms + BUSY_MS))
    return taken


def untaken(unit: Unit, deliveries: Collection[Delivery]) -> None:
    """What was taken and not sent is due again."""
    ids = [delivery.id for delivery in deliveries]
    if ids:
        unit.connection.execute(update(_table).where(_table.c.id.in_(ids)).values(next_at_ms=unit.now_ms))


def delivered(unit: Unit, delivery: Delivery) -> None:
    """The target confirmed the event."""
    values = {"state": "delivered", "ended_ms": unit.now_ms, "next_at_ms": None, "last_error": ""}
    _write(unit, delivery, values | {"attempts": delivery.attempts + 1})


def failed(unit: Unit, delivery: Delivery, error: str, most: int) -> None:
    """It did not: try again after a pause that doubles up to six hours, or give up after `most` attempts."""
    attempts = delivery.attempts + 1
    pause_s = min(FIRST_PAUSE_S * 2 ** min(delivery.attempts, 20), LONGEST_PAUSE_S)
    values: dict[str, Any] = {"attempts": attempts, "last_error": error[:500]}
    if attempts >= most:
        values |= {"state": "dead", "ended_ms": unit.now_ms, "next_at_ms": None}
    else:
        values |= {"next_at_ms": unit.now_ms + 1000 * pause_s}
    _write(unit, delivery, values)
    quiet_until_ms = unit.now_ms + 1000 * min(pause_s, MOST_QUIET_S)
    hook = webhooks.c.id == delivery.webhook_id
    unit.connection.execute(update(webhooks).where(hook).values(quiet_until_ms=quiet_until_ms))


def redeliver(unit: Unit, hook: str, delivery_id: int, by: str) -> Delivery:
    """Send an event once more, under the id it had, so that a receiver can tell."""
    delivery = find(unit.connection, hook, delivery_id)
    fresh = {"state": "waiting", "attempts": 0, "next_at_ms": unit.now_ms, "ended_ms": None}
    _write(unit, delivery, fresh)
    unit.connection.execute(update(webhooks).where(webhooks.c.id == hook).values(quiet_until_ms=None))
    about = {"by": by, "did": "redeliver", "webhook": hook, "event": delivery.event_id}
    unit.note("console.webhook", about)
    return find(unit.connection, hook, delivery_id)


def put_test(unit: Unit, hook: str) -> Delivery:
    """An event that tells nothing, so that a receiver can be tried out."""
    event_id = put(unit, [hook], TEST_EVENT, {"webhook": hook})
    where = (_table.c.webhook_id == hook) & (_table.c.event_id == event_id)
    return _delivery(unit.connection.execute(select(_table).where(where)).one())


def find(connection: Connection, hook: str, delivery_id: int) -> Delivery:
    """A delivery of a webhook; raises Refused 404."""
    where = (_table.c.webhook_id == hook) & (_table.c.id == delivery_id)
    row = connection.execute(select(_table).where(where)).first()
    if row is None:
        raise not_here("delivery")
    return _delivery(row)


def listed(
    connection: Connection, hook: str, state: State | None = None, after: int | None = None, limit: int = 100
) -> list[Delivery]:
    """Deliveries of a webhook, the newest first; the next page is `after` the last id of this one."""
    query = select(_table).where(_table.c.webhook_id == hook)
    if state is not None:
        query = query.where(_table.c.state == state)
    if after is not None:
        query = query.where(_table.c.id < after)
    return [_delivery(row) for row in connection.execute(query.order_by(_table.c.id.desc()).limit(limit))]


def prune(unit: Unit, keep_ms: int, most: int = 500) -> int:
    """Delete what was confirmed longer ago than this; how many. What was given up stays until it is looked at."""
    old = (_table.c.state == "delivered") & (_table.c.ended_ms < unit.now_ms - keep_ms)
    ids = list(unit.connection.execute(select(_table.c.id).where(old).limit(most)).scalars())
    if ids:
        unit.connection.execute(delete(_table).where(_table.c.id.in_(ids)))
    return len(ids)


def _due_of(unit: Unit, hook: str) -> list[Delivery]:
    where = (_table.c.webhook_id == hook) & (_table.c.next_at_ms <= unit.now_ms)
    query = select(_table).where(where).order_by(_table.c.next_at_ms, _table.c.id).limit(BATCH)
    return [_delivery(row) for row in unit.connection.execute(query)]


def _write(unit: Unit, delivery: Delivery, values: dict[str, Any]) -> None:
    unit.connection.execute(update(_table).where(_table.c.id == delivery.id).values(values))


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**row._mapping)  # noqa: SLF001  SQLAlchemy's public name for the row as a mapping
