"""Answers that wait for approvals: kept encrypted beside the approvals, found again by the id of any of them."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from backstay.errors import IntegrityError
from backstay.guard.ledger import Ledger, Writer
from backstay.guard.sealing import Seals
from backstay.storage.tables import kept_answers, kept_approvals


class Place(NamedTuple):
    """What an approval is of: the call of a choice, or (call None) all of it; choice None is the request itself."""

    approval: str
    choice: int | None
    call: int | None


class Kept(NamedTuple):
    """An answer as it will go out once all its approvals are given; no bytes where a request waits."""

    exchange: str
    principal: str
    request_digest: str
    places: tuple[Place, ...]
    answer: bytes


class KeptAnswers:
    """Answers in the ledger's database, under a key made from the ledger's own, which only its owner can read."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seals = Seals(ledger, "kept answers")

    def keep(self, kept: Kept) -> None:
        """Store an answer; returns once it is on disk."""
        sealed = self._seals.seal(kept.answer, kept.exchange)
        row = {
            "exchange": kept.exchange,
            "principal": kept.principal,
            "request_digest": kept.request_digest,
            "approvals": json.dumps(kept.places),
            "sealed": sealed,
        }

        def work(writer: Writer) -> None:
            writer.connection.execute(insert(kept_answers), [row])
            names = [{"approval_id": place.approval, "exchange": kept.exchange} for place in kept.places]
            writer.connection.execute(insert(kept_approvals), names)

        self._ledger.submit(work).result()

    def find(self, approval_id: str) -> Kept | None:
        """The answer that waits for this approval; raises IntegrityError where it was tampered with."""
        with self._ledger.read() as connection:
            row = _row(connection, approval_id)
        if row is None:
            return None
        try:
            answer = self._seals.open(bytes(row.sealed), row.exchange)
        except IntegrityError as error:
            raise IntegrityError(f"the answer kept for {row.exchange} was changed on disk", cure="ask anew") from error
        places = tuple(Place(*place) for place in json.loads(row.approvals))
        return Kept(row.exchange, row.principal, row.request_digest, places, answer)


def _row(connection: Connection, approval_id: str) -> Any:
    where = kept_approvals.c.approval_id == approval_id
    joined = kept_answers.join(kept_approvals, kept_answers.c.exchange == kept_approvals.c.exchange)
    return connection.execute(select(kept_answers).select_from(joined).where(where)).first()


def places_of(ids: Sequence[str], held: Sequence[tuple[int | None, int | None]]) -> tuple[Place, ...]:
    """Approvals beside what each is of, in the same order."""
    return tuple(Place(name, choice, call) for name, (choice, call) in zip(ids, held, strict=True))
