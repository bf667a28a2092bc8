"""Kept exchanges in the ledger's database: encrypted, deletable, and each with a row of the journal that holds no text.

The key is made from the ledger's digest key, which lies outside the database: a copy of the database alone, a backup or
a replica, shows nothing of what was said.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, case, delete, insert, select, update

from backstay.errors import IntegrityError, UsageError
from backstay.guard.harvest.kept_exchange import KeptExchange, KeptRow, Thumb
from backstay.guard.ledger import Ledger, Writer
from backstay.records import uuid7
from backstay.storage.journal import utc_now
from backstay.storage.tables import approvals, harvested, harvested_feedback, kept_approvals

KIND = "guard.harvest"
NONCE_BYTES = 12
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAX_A_UNIT = 500
_CURE = "delete it with: backstay guard forget EXCHANGE"


class Owner(NamedTuple):
    """Whose exchange it is, and until when a thumb can be given."""

    principal: str
    expires_at_ms: int


class HarvestStore:
    """Reads and writes what is kept; `keep_days` and `thumb_hours` as in the settings."""

    def __init__(self, ledger: Ledger, *, keep_days: float = 30.0, thumb_hours: float = 24.0) -> None:
        self._ledger = ledger
        self._cipher = AESGCM(bytes.fromhex(ledger.digest(b"backstay: key of harvested exchanges")))
        self._keep_ms, self._thumb_ms = int(keep_days * DAY_MS), int(thumb_hours * HOUR_MS)

    def keep(self, kept: KeptExchange) -> "Future[None]":
        """Store an exchange that went through the redaction; without a reason it waits for a thumb."""
        plain = kept.to_json().encode()
        row = {
            "exchange": kept.exchange,
            "principal": kept.principal,
            "kept_at_ms": kept.at_ms,
            "expires_at_ms": kept.at_ms + (self._keep_ms if kept.why else min(self._thumb_ms, self._keep_ms)),
            "awaits_thumb": int(not kept.why),
            "sealed": self._seal(plain, kept.exchange),
        }
        told = _event("kept", exchange=kept.exchange, why=list(kept.why), content_digest=self._ledger.digest(plain))

        def work(writer: Writer) -> None:
            writer.connection.execute(insert(harvested), [row])
            writer.append(KIND, told)

        return self._ledger.submit(work)

    def owner(self, exchange: str, now_ms: int) -> Owner | None:
        """Whose exchange it is; None where it is not kept, or no longer."""
        query = select(harvested.c.principal, harvested.c.expires_at_ms).where(
            harvested.c.exchange == exchange, harvested.c.expires_at_ms > now_ms
        )
        with self._ledger.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else Owner(row.principal, row.expires_at_ms)

    def thumb(self, exchange: str, principal: str, score: int, comment: str, now_ms: int) -> "Future[Thumb]":
        """Store a thumb, by which the exchange is kept; the same one again changes nothing, another is a new record.

        The future raises UsageError where the exchange was deleted meanwhile.
        """
        found = Thumb(uuid7(), exchange, principal, score, now_ms, comment)
        plain = comment.encode()
        digest = self._ledger.digest(f"{score}\0".encode() + plain)
        told = _event("thumb", id=found.id, exchange=exchange, score=score, content_digest=digest)
        expires = now_ms + self._keep_ms

        def work(writer: Writer) -> Thumb:
            before = self._thumbs(writer.connection, harvested_feedback.c.exchange == exchange)
            latest = {thumb.principal: thumb for thumb in before}.get(principal)
            if latest is not None and (latest.score, latest.comment) == (score, comment):
                return latest
            due = harvested.c.expires_at_ms
            changed = writer.connection.execute(
                update(harvested)
                .where(harvested.c.exchange == exchange, harvested.c.principal == principal)
                .values(awaits_thumb=0, expires_at_ms=case((due < expires, expires), else_=due))
            )
            if changed.rowcount != 1:
                raise UsageError(f"{exchange} is not kept any longer", cure="nothing is to be done")
            values = found._asdict() | {"sealed": self._seal(plain, found.id)}
            del values["comment"]
            writer.connection.execute(insert(harvested_feedback), [values])
            writer.append(KIND, told)
            return found

        return self._ledger.submit(work)

    def rows(self, now_ms: int, since_ms: int = 0) -> list[KeptRow]:
        """Every exchange that was kept for a reason, oldest first, with its thumbs; those that expired are left out."""
        where = (
            harvested.c.awaits_thumb == 0,
            harvested.c.expires_at_ms > now_ms,
            harvested.c.kept_at_ms >= since_ms,
        )
        with self._ledger.read() as connection:
            found = connection.execute(select(harvested).where(*where).order_by(harvested.c.exchange)).all()
            thumbs: dict[str, list[Thumb]] = {}
            for thumb in self._thumbs(connection, *where, joined=True):
                thumbs.setdefault(thumb.exchange, []).append(thumb)
            verdicts = _verdicts(connection)
        return [self._row(row, thumbs.get(row.exchange, ()), verdicts) for row in found]

    def _row(self, row: Any, thumbs: Sequence[Thumb], verdicts: Mapping[str, str]) -> KeptRow:
        kept = KeptExchange.from_json(self._open(bytes(row.sealed), row.exchange))
        released = "approved" if "approved" in kept.why else ""
        return KeptRow(kept, tuple(thumbs), verdicts.get(row.exchange, released))

    def forget(self, *, exchange: str = "", principal: str = "") -> int:
        """Delete an exchange, or all of a principal, with the thumbs on it; how many exchanges were deleted."""
        if bool(exchange) == bool(principal):
            raise ValueError("name an exchange or a principal")
        where = harvested.c.exchange == exchange if exchange else harvested.c.principal == principal
        return self._deleted("forgotten", where)

    def expire(self, now_ms: int) -> int:
        """Delete what is older than it may be; how many exchanges."""
        return self._deleted("expired", harvested.c.expires_at_ms <= now_ms)

    def note_harvest(self, files: dict[str, str], exchanges: int) -> None:
        """Write into the journal that a harvest left the database: digests of its files."""
        self._ledger.append(KIND, _event("harvested", files=files, exchanges=exchanges)).result()

    def pseudonym(self, principal: str) -> str:
        """A name for a principal that only the holder of the ledger's keys can trace; the same in every harvest."""
        return f"thumb-{self._ledger.digest(f'backstay: rater {principal}'.encode())[:16]}"

    def _deleted(self, event: str, where: Any) -> int:
        total = 0
        while True:
            count = self._ledger.submit(lambda writer: _delete_some(writer, event, where)).result()
            total += count
            if count < MAX_A_UNIT:
                return total

    def _thumbs(self, connection: Connection, *where: Any, joined: bool = False) -> list[Thumb]:
        query = select(harvested_feedback).where(*where).order_by(harvested_feedback.c.id)
        if joined:
            query = query.join(harvested, harvested.c.exchange == harvested_feedback.c.exchange)
        return [
            Thumb(row.id, row.exchange, row.principal, row.score, row.at_ms, self._open(bytes(row.sealed), row.id))
            for row in connection.execute(query)
        ]

    def _seal(self, plain: bytes, name: str) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, name.encode())

    def _open(self, sealed: bytes, name: str) -> str:
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode()).decode()
        except InvalidTag as error:
            raise IntegrityError(f"what was kept as {name} was changed, or is of another key", cure=_CURE) from error


def _event(event: str, **facts: Any) -> dict[str, Any]:
    return {"id": uuid7(), "at": utc_now(), "event": event} | facts


def _delete_some(writer: Writer, event: str, where: Any) -> int:
    connection = writer.connection
    if connection.dialect.name == "sqlite":
        # Deleted bytes are overwritten with zeros, not left in free pages.
        connection.exec_driver_sql("PRAGMA secure_delete = ON").close()
    ids: Sequence[str] = connection.scalars(select(harvested.c.exchange).where(where).limit(MAX_A_UNIT)).all()
    if ids:
        connection.execute(delete(harvested_feedback).where(harvested_feedback.c.exchange.in_(ids)))
        connection.execute(delete(harvested).where(harvested.c.exchange.in_(ids)))
        for exchange in ids:
            writer.append(KIND, _event(event, exchange=exchange))
    return len(ids)


def _verdicts(connection: Connection) -> dict[str, str]:
    """What became of the approvals that exchanges waited for: `denied` where one was."""
    query = select(kept_approvals.c.exchange, approvals.c.state).join(
        approvals, approvals.c.id == kept_approvals.c.approval_id
    )
    states: dict[str, set[str]] = {}
    for exchange, state in connection.execute(query):
        states.setdefault(exchange, set()).add(state)
    return {exchange: _verdict(found) for exchange, found in states.items()}


def _verdict(states: Iterable[str]) -> str:
    found = set(states)
    if "denied" in found:
        return "denied"
    return "approved" if found <= {"approved", "executing", "executed", "failed", "unknown"} else ""
