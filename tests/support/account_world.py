"""Accounts on a database of their own, below the web: for tests of what is kept."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, insert

from backstay.storage import open_database
from backstay.storage.batch import Batch
from backstay.storage.console_tables import projects
from backstay.storage.engine import write_transaction
from backstay.storage.unit import Unit
from backstay.web.accounts import audit_log, directory
from backstay.web.accounts.directory import Account
from backstay.web.accounts.principal import Principal
from backstay.web.permissions import PERMISSIONS, Role

T = TypeVar("T")
NOW_MS = 1_800_000_000_000


def digest(data: bytes) -> str:
    """A MAC under a key of the tests."""
    return hashlib.blake2b(data, key=b"key of tests", digest_size=32).hexdigest()


class AccountWorld:
    """A database, and a clock that stands until it is moved."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.now_ms = engine, NOW_MS

    def do(self, work: Callable[[Unit], T]) -> T:
        """One unit of work."""
        with write_transaction(self.engine) as connection:
            return work(Unit(connection, Batch(connection), self.now_ms))

    def read(self, query: Callable[[Connection], T]) -> T:
        with self.engine.connect() as connection:
            return query(connection)

    def move(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)

    def account(self, role: Role, name: str = "") -> Account:
        return self.do(lambda unit: directory.add(unit, name or role.value, "", role, None, None))

    def project(self, name: str) -> None:
        row = {"id": name, "name": name, "dataset": name, "settings": "{}", "status": "open", "created_by": "x"}
        self.do(lambda unit: unit.connection.execute(insert(projects).values({**row, "created_at_ms": NOW_MS})))

    def journal(self) -> list[dict[str, object]]:
        """What people did, the oldest first."""
        return [act.payload for act in reversed(self.read(lambda c: audit_log.acts(c, most=200))[0])]


def principal(account: Account, session_id: str = "s") -> Principal:
    """An account in a session."""
    permissions = PERMISSIONS[account.role]
    return Principal(
        account.id,
        account.name,
        account.role,
        permissions,
        account.rater_id,
        "session",
        None if account.projects is None else frozenset(account.projects),
        session_id=session_id,
    )


@contextlib.contextmanager
def account_world(folder: Path) -> Iterator[AccountWorld]:
    """A world on a new database."""
    engine = open_database(folder / "accounts.db", create=True)
    try:
        yield AccountWorld(engine)
    finally:
        engine.dispose()
