"""Approvals in the database: read, insert, and change by compare-and-swap. No decision is taken here."""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Connection, Executable, Row, Select, bindparam, func, insert, select, update

from backstay.errors import ResourceError
from backstay.guard.approvals.approval import Approval, Vote
from backstay.guard.approvals.clock import Clock
from backstay.guard.approvals.states import OPEN, State
from backstay.records import canonical_json
from backstay.storage.tables import approval_clock, approval_votes, approvals

_COLUMNS = ("id", "state", "version", "digest", "expires_at_ms", "escalate_at_ms", "lease_until_ms")
_TUPLES = frozenset({"escalated_roles", "editors", "rules", "reasons"})
_OPEN = sorted(OPEN)
_CLOCK = select(approval_clock.c.highest_ms)
_BY_ID = select(approvals).where(approvals.c.id == bindparam("id"))
_BY_KEY = select(approvals).where(approvals.c.principal == bindparam("principal"), approvals.c.key == bindparam("key"))
_VOTES = (
    select(approval_votes)
    .where(approval_votes.c.approval_id.in_(bindparam("ids", expanding=True)))
    .order_by(approval_votes.c.approval_id, approval_votes.c.version)
)
_VOTE_BY_KEY = select(approval_votes).where(
    approval_votes.c.person == bindparam("who"), approval_votes.c.key == bindparam("the_key")
)
_SWAP = update(approvals).where(
    approvals.c.id == bindparam("the_id"),
    approvals.c.version == bindparam("the_version"),
    approvals.c.state == bindparam("the_state"),
)
_DUE = (
    (approvals.c.state.in_(_OPEN) & (approvals.c.expires_at_ms <= bindparam("now_ms")))
    | ((approvals.c.state == State.EXECUTING) & (approvals.c.lease_until_ms <= bindparam("now_ms")))
    | ((approvals.c.state == State.PENDING) & (approvals.c.escalate_at_ms <= bindparam("now_ms")))
)
_OVERDUE = select(approvals).where(_DUE).order_by(approvals.c.id)
_KEPT = tuple(f.name for f in fields(Approval) if f.name not in {*_COLUMNS, "key", "votes"})


class Raced(ResourceError):
    """Another process changed the row first; nothing of this unit was done, and it may be tried again."""


def seen_ms(connection: Connection) -> int:
    """The latest moment that anybody has seen; 0 at the beginning."""
    return int(connection.execute(_CLOCK).scalar() or 0)


def tick(connection: Connection, clock: Clock) -> int:
    """The time now, kept so that no clock can go behind it."""
    seen = seen_ms(connection)
    now = clock.now_ms(seen)
    if not seen:
        connection.execute(insert(approval_clock).values(id=1, highest_ms=now))
    elif now > seen:
        connection.execute(update(approval_clock).where(approval_clock.c.highest_ms < now).values(highest_ms=now))
    return now


def load(connection: Connection, approval_id: str) -> Approval | None:
    """One approval with its votes, or None."""
    found = _read(connection, _BY_ID, id=approval_id)
    return found[0] if found else None


def by_key(connection: Connection, principal: str, key: str) -> Approval | None:
    """What this principal asked under this key, or None."""
    found = _read(connection, _BY_KEY, principal=principal, key=key)
    return found[0] if found else None


def listed(connection: Connection, states: Sequence[State], after: str, limit: int) -> list[Approval]:
    """Approvals in these states whose id is beyond `after`, oldest first."""
    wanted = select(approvals).where(approvals.c.state.in_(list(states)), approvals.c.id > after)
    return _read(connection, wanted.order_by(approvals.c.id).limit(limit))


def recent(connection: Connection, states: Sequence[State], limit: int) -> list[Approval]:
    """Approvals in these states, newest first."""
    wanted = select(approvals).where(approvals.c.state.in_(list(states)))
    return _read(connection, wanted.order_by(approvals.c.id.desc()).limit(limit))


def stamp(connection: Connection, approval_id: str) -> str:
    """A text that changes with one approval, or where none is named with what is pending; reads no contents."""
    columns = approvals.c
    query: Executable = select(columns.version, columns.state).where(columns.id == approval_id)
    if not approval_id:
        figures = func.count(), func.sum(columns.version), func.max(columns.id)
        query = select(*figures).where(columns.state == State.PENDING)
    return " ".join(map(str, connection.execute(query).first() or ()))


def overdue(connection: Connection, now_ms: int, limit: int) -> list[Approval]:
    """What has expired, whose lease ran out, or what must be escalated."""
    return _read(connection, _OVERDUE.limit(limit), now_ms=now_ms)


def count_open(connection: Connection, principal: str) -> int:
    """How many approvals of this principal are pending or approved."""
    query = select(func.count()).where(approvals.c.principal == principal, approvals.c.state.in_(_OPEN))
    return connection.execute(query).scalar_one()


def count_broken(connection: Connection, since_ms: int) -> int:
    """How many digests two people broke the glass for, the latest of them since then."""
    votes = approval_votes.c
    broken = (
        select(votes.approval_id)
        .where(votes.vote == "break_glass")
        .group_by(votes.approval_id, votes.digest)
        .having(func.count(votes.person.distinct()) > 1, func.max(votes.at_ms) > since_ms)
    )
    return connection.execute(select(func.count()).select_from(broken.subquery())).scalar_one()


def add(connection: Connection, approval: Approval) -> None:
    """Insert a new approval."""
    row = _row(approval) | {"principal": approval.principal, "key": approval.key or None}
    connection.execute(insert(approvals).values(row))


def swap(connection: Connection, before: Approval, changes: dict[str, Any]) -> Approval:
    """Change the row if nobody has changed it since `before` was read, else raise Raced."""
    after = replace(before, **changes, version=before.version + 1)
    values = _row(after) | {"the_id": before.id, "the_version": before.version, "the_state": before.state}
    done = connection.execute(_SWAP, values)
    if done.rowcount != 1:
        raise Raced(f"approval {before.id} was changed by another process meanwhile", cure="try again")
    return after


def add_vote(connection: Connection, approval: Approval, vote: Vote) -> Approval:
    """Insert a vote; the approval with it."""
    row = vote._asdict() | {"approval_id": approval.id, "roles": canonical_json(sorted(vote.roles)).decode()}
    connection.execute(insert(approval_votes).values(row))
    return replace(approval, votes=(*approval.votes, vote))


def vote_by_key(connection: Connection, person: str, key: str) -> tuple[str, Vote] | None:
    """The approval and vote that this person cast under this key, or None."""
    row = connection.execute(_VOTE_BY_KEY, {"who": person, "the_key": key}).first()
    return None if row is None else (row.approval_id, _vote(row))


def _read(connection: Connection, query: Select[Any], **values: Any) -> list[Approval]:
    rows = connection.execute(query, values).all()
    votes: dict[str, list[Vote]] = {row.id: [] for row in rows}
    if rows:
        for row in connection.execute(_VOTES, {"ids": list(votes)}):
            votes[row.approval_id].append(_vote(row))
    return [_approval(row, votes[row.id]) for row in rows]


def _row(approval: Approval) -> dict[str, Any]:
    kept = {name: getattr(approval, name) for name in _KEPT}
    return {name: getattr(approval, name) for name in _COLUMNS} | {"record": canonical_json(kept).decode()}


def _approval(row: Row[Any], votes: Sequence[Vote]) -> Approval:
    kept: dict[str, Any] = {
        name: tuple(value) if name in _TUPLES else value for name, value in json.loads(row.record).items()
    }
    columns: dict[str, Any] = {name: getattr(row, name) for name in _COLUMNS if name != "state"}
    return Approval(**columns, **kept, state=State(row.state), key=row.key or "", votes=tuple(votes))


def _vote(row: Row[Any]) -> Vote:
    roles = frozenset(json.loads(row.roles))
    return Vote(row.person, row.vote, row.digest, row.version, roles, row.reason, row.key, row.at_ms)
