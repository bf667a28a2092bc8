"""Rows of a guard's ledger for tests: requests decided by a policy, written as the guard's audit writes them."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

from backstay.guard.audit import AuditLog, Contents
from backstay.guard.ledger import Ledger
from backstay.guard.ledger_group import journal_item
from backstay.policy import PolicyBundle, Request
from backstay.policy.recorded import KIND
from backstay.storage import open_database
from backstay.storage.engine import write_transaction
from backstay.storage.journal import Appender


class _Caught:
    """Stands where the ledger stands, and keeps the row."""

    payload = ""

    def append(self, kind: str, payload: Mapping[str, Any]) -> Future[int]:
        self.payload = journal_item(kind, payload)[1]
        return Future()

    def digest(self, data: bytes) -> str:
        return f"{len(data):064}"


def payload(
    policy: PolicyBundle, request: Request, name: str = "d1", contents: Contents = "full", session: str = "s1"
) -> str:
    """The canonical payload of one decided request."""
    caught = _Caught()
    AuditLog(cast("Ledger", caught), contents).decision(
        request, policy.decide(request), exchange="e1", session=session, cost_us=20, decision_id=name
    )
    return caught.payload


def append(path: Path, items: Iterable[tuple[str, str]]) -> None:
    """Append (kind, payload) entries to the journal at a path, which is made when it is not there."""
    engine = open_database(path, create=True)
    with write_transaction(engine) as connection:
        Appender(connection).append(list(items))
    engine.dispose()


def ledger(path: Path, payloads: Iterable[str]) -> Path:
    """A ledger with these decisions, and an entry of another kind before each."""
    append(path, [item for p in payloads for item in (("guard.outcome", '{"done":true}'), (KIND, p))])
    return path
