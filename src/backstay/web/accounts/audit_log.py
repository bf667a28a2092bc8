"""Reading the journal of what people did in the console: who, what, whom; the newest first, in pages."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from backstay.records import canonical_json
from backstay.storage.tables import journal

KINDS = "console."
MOST = 500


@dataclass(frozen=True, slots=True)
class Act:
    """One row of the journal."""

    seq: int
    kind: str
    payload: dict[str, Any]
    hash: str


def kinds(connection: Connection) -> list[str]:
    """The kinds of acts that the journal holds; one look into the index for each kind, however long the journal is."""
    found: list[str] = []
    last = ""
    while (
        kind := connection.execute(select(func.min(journal.c.kind)).where(journal.c.kind > last)).scalar()
    ) is not None:
        last = kind
        if kind.startswith(KINDS):
            found.append(kind)
    return found


def acts(
    connection: Connection, *, after: int | None = None, kind: str = "", by: str = "", most: int = 50
) -> tuple[list[Act], int | None]:
    """Acts that somebody did, the newest first, and the `after` of the next page (None at the end).

    `kind` and `by` narrow them to one kind and to one account.
    """
    wanted = [name for name in kinds(connection) if not kind or name == kind]
    query = select(journal.c.seq, journal.c.kind, journal.c.payload, journal.c.hash).where(
        journal.c.kind.in_(wanted), journal.c.payload.contains(_said_by(by), autoescape=True)
    )
    if after is not None:
        query = query.where(journal.c.seq < after)
    rows = connection.execute(query.order_by(journal.c.seq.desc()).limit(min(most, MOST) + 1)).all()
    found = [Act(row.seq, row.kind, json.loads(row.payload), row.hash) for row in rows[: min(most, MOST)]]
    return found, found[-1].seq if len(rows) > len(found) else None


def _said_by(by: str) -> str:
    """How canonical JSON says it; within a string the quotes would stand behind backslashes."""
    return '"by":' + (canonical_json(by).decode() if by else '"')
