"""Where the arguments of a held call came from, as the decision that held it says in the ledger."""

import math
from bisect import bisect_left
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from backstay.errors import IntegrityError
from backstay.guard.approvals import Approval
from backstay.guard.audit import DECISION
from backstay.storage.journal import Entry, head, read_between

Read = Callable[[], AbstractContextManager[Connection]]
SLACK_S = 60.0
"""How far the clocks of the journal and of approvals may lie apart."""

MOST_ROWS = 5000
"""Rows that are read; where the decision lies beyond them, no origins are shown."""

_UNTIMED = 50


class Origin(NamedTuple):
    """An argument, and the origins that `guard.provenance` found for it."""

    argument: str
    origins: tuple[str, ...]

    @property
    def suspect(self) -> bool:
        """Whether a part of it came from a tool's output and from nobody trusted."""
        return "tool_only" in self.origins


def origins_of(read: Read, approval: Approval) -> tuple[Origin, ...]:
    """The origins of each argument; none for an edit, whose values are its editor's, and where the ledger has none."""
    exchange, _, place = approval.key.rpartition("/")
    if not exchange or exchange != approval.exchange or not (place.isascii() and place.isdigit()) or len(place) > 3:
        return ()
    with read() as connection:
        last = head(connection).count
        wanted_s = approval.asked_at_ms / 1000 - SLACK_S
        first = 1 + bisect_left(range(1, last + 1), wanted_s, key=lambda seq: _time_s(connection, seq, last))
        near = read_between(connection, first, min(first + MOST_ROWS, last))
        about = [_payload(entry) for entry in near if entry.kind == DECISION and exchange in entry.payload]
    rows = [row for row in about if row.get("exchange") == exchange and row.get("effect") == "hold"]
    if int(place) >= len(rows) or rows[int(place)].get("tool") != approval.tool:
        return ()
    provenance = rows[int(place)].get("provenance") or {}
    return tuple(Origin(argument, tuple(origins)) for argument, origins in sorted(provenance.items()))


def _time_s(connection: Connection, seq: int, last: int) -> float:
    """When a row was written: its own time, or that of the next row that has one."""
    for entry in read_between(connection, seq, min(seq + _UNTIMED, last)):
        at = _payload(entry).get("at")
        if isinstance(at, str):
            return datetime.fromisoformat(at).timestamp()
    return math.inf


def _payload(entry: Entry) -> dict[str, Any]:
    try:
        value = orjson.loads(entry.payload)
    except ValueError as error:
        raise IntegrityError(f"entry {entry.seq} ({entry.kind}) is damaged: {error}", cure="backstay verify") from error
    return value if isinstance(value, dict) else {}
