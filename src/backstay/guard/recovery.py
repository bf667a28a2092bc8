"""Counters after a restart: read back from the ledger, as far as the longest window of the policy reaches."""

import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from backstay.errors import IntegrityError, ResourceError
from backstay.guard.audit import DECISION, OUTCOME
from backstay.policy import Counter, Histories
from backstay.policy.history import BUCKETS
from backstay.storage.journal import Entry, head, read_between

CLOCK_SLACK_S = 300.0
"""How far rows may be out of the order of their times, because a clock was set."""


class Restored(NamedTuple):
    """What was read to rebuild the counters."""

    rows: int
    actions: int


def restore_histories(
    histories: Histories,
    counters: Mapping[str, Counter],
    connection: Connection,
    *,
    clock: Callable[[], float],
    now: Callable[[], float] = time.time,
    max_rows: int = 2_000_000,
) -> Restored:
    """Count again the actions of the ledger that any counter still counts; `clock` is that of the histories.

    Reads backwards until rows are older than the longest `within_s`, then forwards; memory does not grow with the rows.
    A counter without `within_s` needs the whole ledger. Raises ResourceError when more than `max_rows` rows would have
    to be read: counters that are too low would allow what the policy forbids.
    """
    if not counters:
        return Restored(0, 0)
    span_s = max(math.inf if counter.within_s is None else counter.within_s for counter in counters.values())
    # A window counts up to a bucket longer than it says.
    oldest_s = now() - span_s * (1 + 1 / BUCKETS)
    last = head(connection).count
    first = _first_row(connection, last, oldest_s, max_rows)
    to_clock_s = clock() - now()
    rows = actions = 0
    for entry in read_between(connection, first, last):
        rows += 1
        found = _counted(entry)
        if found is not None and found[1] >= oldest_s:
            session, at_s, counted = found
            histories.of(session).restore(counted, at_s + to_clock_s)
            actions += 1
    return Restored(rows, actions)


def _first_row(connection: Connection, last: int, oldest_s: float, max_rows: int) -> int:
    """Seq of the first row that may still count: before it lies CLOCK_SLACK_S of nothing but older ones."""
    if math.isinf(oldest_s):
        if last > max_rows:
            raise _too_many(last, max_rows)
        return 1
    for seq in range(last, 0, -1_000):
        if last - seq > max_rows:
            raise _too_many(last, max_rows)
        times = [at_s for entry in read_between(connection, max(1, seq - 999), seq) if (at_s := _at_s(entry))]
        if times and max(times) < oldest_s - CLOCK_SLACK_S:
            return seq
    return 1


def _too_many(last: int, max_rows: int) -> ResourceError:
    return ResourceError(
        f"more than {max_rows} of the ledger's {last} rows would have to be read to rebuild the counters",
        cure="raise max_rows, or give every counter a within_s and shorten the longest",
    )


def _payload(entry: Entry) -> dict[str, Any] | None:
    if entry.kind not in (DECISION, OUTCOME):
        return None
    try:
        value = orjson.loads(entry.payload)
    except ValueError as error:
        raise IntegrityError(f"entry {entry.seq} ({entry.kind}) is damaged: {error}", cure="backstay verify") from error
    return value if isinstance(value, dict) else None


def _at_s(entry: Entry) -> float | None:
    payload = _payload(entry)
    return None if payload is None else _time_s(entry, payload)


def _time_s(entry: Entry, payload: Mapping[str, Any]) -> float:
    try:
        return datetime.fromisoformat(payload["at"]).timestamp()
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"entry {entry.seq} ({entry.kind}) has no time: {error}", cure="backstay verify"
        ) from error


def _counted(entry: Entry) -> tuple[str, float, dict[str, Any]] | None:
    payload = _payload(entry)
    if payload is None or "counted" not in payload:
        return None
    return str(payload.get("session", "")), _time_s(entry, payload), payload["counted"]
