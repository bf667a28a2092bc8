"""Events for webhooks, stored in the transaction that they tell of, so that none is lost."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update

from backstay.guard.approvals.approval import Approval, utc
from backstay.records import canonical_json, uuid7
from backstay.storage.tables import approval_outbox

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 3600.0


class Due(NamedTuple):
    """An event that a webhook has not confirmed."""

    id: int
    event_id: str
    target: str
    body: str
    attempts: int


def enqueue(
    connection: Connection, targets: Iterable[str], approval: Approval, event: str, by: str, now_ms: int
) -> None:
    """Store an event for each target; arguments are left out, they are shown where people log in."""
    event_id = uuid7()
    body = canonical_json(_body(event_id, approval, event, by, now_ms)).decode()
    fresh = {"body": body, "attempts": 0, "next_at_ms": now_ms, "last_error": ""}
    rows = [{"event_id": event_id, "target": target, **fresh} for target in targets]
    if rows:
        connection.execute(insert(approval_outbox), rows)


def take_due(connection: Connection, now_ms: int, busy_s: float, limit: int) -> list[Due]:
    """What is due, and not due again for `busy_s` seconds: another process leaves it alone meanwhile."""
    outbox = approval_outbox
    query = select(outbox.c.id, outbox.c.event_id, outbox.c.target, outbox.c.body, outbox.c.attempts)
    due = [Due(*row) for row in connection.execute(query.where(outbox.c.next_at_ms <= now_ms).limit(limit))]
    if due:
        taken = outbox.c.id.in_([event.id for event in due])
        connection.execute(update(outbox).where(taken).values(next_at_ms=now_ms + int(busy_s * 1000)))
    return due


def delivered(connection: Connection, event: Due, now_ms: int) -> None:
    """The target confirmed the event."""
    values = {"delivered_at_ms": now_ms, "next_at_ms": None, "attempts": event.attempts + 1, "last_error": ""}
    connection.execute(update(approval_outbox).where(approval_outbox.c.id == event.id).values(values))


def postponed(connection: Connection, event: Due, now_ms: int, error: str) -> None:
    """It did not; try again after a pause that doubles up to an hour, for as long as it takes."""
    pause_s = min(FIRST_PAUSE_S * 2 ** min(event.attempts, 20), LONGEST_PAUSE_S)
    values = {"attempts": event.attempts + 1, "next_at_ms": now_ms + int(pause_s * 1000), "last_error": error[:500]}
    connection.execute(update(approval_outbox).where(approval_outbox.c.id == event.id).values(values))


def _body(event_id: str, approval: Approval, event: str, by: str, now_ms: int) -> dict[str, Any]:
    told = {
        "id": approval.id,
        "state": str(approval.state),
        "digest": approval.digest,
        "principal": approval.principal,
        "session": str(approval.content["session"]),
        "action": str(approval.content["action"]),
        "tool": approval.tool,
        "needs": [{"k": stage.k, "roles": list(stage.roles)} for stage in approval.stages],
        "expires_at": utc(approval.expires_at_ms),
        "supersedes": approval.supersedes,
    }
    return {"id": event_id, "type": f"approval.{event}", "at": utc(now_ms), "by": by, "approval": told}
