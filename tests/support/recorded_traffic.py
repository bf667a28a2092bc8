"""Rows of a guard's ledger for tests: requests decided by a policy, written as the guard writes them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from backstay.policy import PolicyBundle, Request
from backstay.policy.recorded import KIND, Contents, decision_payload
from backstay.records import canonical_json
from backstay.storage import open_database
from backstay.storage.engine import write_transaction
from backstay.storage.journal import append_entries


def payload(policy: PolicyBundle, request: Request, name: str = "d1", contents: Contents = "full", **head: Any) -> str:
    """The canonical payload of one decided request; the digests are made up."""
    written = decision_payload(
        policy.decide(request),
        request,
        contents=contents,
        digests=("0" * 64 if request.text else None, "1" * 64),
        **({"id": name, "at": "2026-01-01T00:00:00.000Z", "exchange": "e1", "session": "s1", "cost_us": 20} | head),
    )
    return canonical_json(written).decode()


def append(path: Path, items: Iterable[tuple[str, str]]) -> None:
    """Append (kind, payload) entries to the journal at a path, which is made when it is not there."""
    engine = open_database(path, create=True)
    with write_transaction(engine) as connection:
        append_entries(connection, list(items))
    engine.dispose()


def ledger(path: Path, payloads: Iterable[str]) -> Path:
    """A ledger with these decisions, and an entry of another kind before each."""
    append(path, [item for p in payloads for item in (("guard.outcome", '{"done":true}'), (KIND, p))])
    return path
