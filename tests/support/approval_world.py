"""A small world for tests of approvals: people, an action, a clock that is set by hand, a ledger without threads."""

import contextlib
import functools
import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from sqlalchemy import Connection, event

from backstay.errors import ResourceError
from backstay.guard.approvals import (
    Approvals,
    Clock,
    Current,
    Directory,
    HeldAction,
    Identity,
    Person,
    Refusal,
    Settings,
)
from backstay.guard.approvals.links import Links
from backstay.guard.approvals.service import Recheck
from backstay.guard.ledger import Ledger, Writer
from backstay.guard.ledger_group import Job, write_group
from backstay.policy import Obligation, RequireApproval
from backstay.storage.engine import open_database, write_transaction
from backstay.storage.journal import head, read_entries

T = TypeVar("T")
ROLES = {
    "alice": ("finance",),
    "bob": ("finance",),
    "carol": ("security",),
    "dave": ("finance", "security"),
    "erin": ("break-glass", "finance"),
    "frank": ("break-glass",),
    "gina": ("oncall",),
    "rita": ("finance", "security", "break-glass"),
    "olga": ("finance", "security", "break-glass"),
}
REQUESTER, OWNER = "svc-Rita", "olga"
START_S = 1_800_000_000.0
SCHEMA, POLICY = "5" * 64, "9" * 64
REASON = "the invoice was checked by telephone"


class Killed(BaseException):
    """The process ends here, as by kill -9."""


class DirectLedger:
    """Runs each unit at once in its own transaction of a real database; can die at any statement, or be down."""

    def __init__(self, place: Path | str) -> None:
        if isinstance(place, Path) and not place.exists():
            place.write_bytes(_empty_database())
        self.engine = open_database(place)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _hurried)
        event.listen(self.engine, "before_cursor_execute", self._statement)
        self.engine.dispose()
        self.down = False
        self.statements_left: int | None = None
        self.lose_answer = False

    def submit(self, work: Callable[[Writer], T]) -> Future[T]:
        if self.down:
            raise ResourceError("the database is gone")
        job = Job(Future(), None, work, 0.0)
        job.future.set_running_or_notify_cancel()
        with write_transaction(self.engine) as connection:
            write_group(connection, [job], head(connection))
        if self.lose_answer:
            raise Killed
        job.resolve(None)
        return job.future

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        if self.down:
            raise ResourceError("the database is gone")
        with self.engine.connect() as connection:
            yield connection

    def digest(self, data: bytes) -> str:
        return hashlib.blake2b(data, key=b"k" * 32, digest_size=32).hexdigest()

    def close(self) -> None:
        self.engine.dispose()

    def _statement(self, *_: Any) -> None:
        if self.statements_left is not None:
            self.statements_left -= 1
            if self.statements_left < 0:
                self.statements_left = None
                raise Killed


@functools.cache
def _empty_database() -> bytes:
    """A database with all tables, made once: migrations take longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        open_database(path, create=True).dispose()
        return path.read_bytes()


def _hurried(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF").close()


class World:
    """Approvals over a direct ledger, with people and a time that tests set."""

    def __init__(
        self,
        place: Path | str,
        settings: Settings | None = None,
        recheck: Recheck | None = None,
        ledger: Any = None,
    ) -> None:
        self.ledger = ledger or DirectLedger(place)
        self.roles: dict[str, tuple[str, ...]] = dict(ROLES)
        self.aliases: dict[str, tuple[str, ...]] = {"rita": ("svc-rita",), "olga": ("olga@corp.example",)}
        self.now_s = START_S
        self.settings = settings or Settings(webhooks=("pager",))
        self.recheck = recheck
        self.keys = 0
        self.glass_ms: list[int] = []
        self.approvals = self.restarted()

    def restarted(self) -> Approvals:
        """As a process that has just begun: nothing in memory but the database."""
        self.approvals = Approvals(
            cast("Ledger", self.ledger),
            self.directory,
            settings=self.settings,
            recheck=self.recheck,
            link_signer=Links(b"l" * 32),
            clock=Clock(lambda: self.now_s, lambda: 0.0),
            poll_s=0.02,
        )
        return self.approvals

    def directory(self) -> Directory:
        return _directory(tuple((name, roles, self.aliases.get(name, ())) for name, roles in self.roles.items()))

    def ask(self, **changes: Any) -> str:
        return self.approvals.ask(action(**changes)).id

    def vote(self, approval_id: str, who: str, vote: str = "approve", **changes: Any) -> str:
        """The state after a vote; with a fresh key and the digest of now unless told otherwise."""
        self.keys += 1
        given = {
            "digest_shown": self.approvals.get(approval_id).digest,
            "reason": REASON,
            "key": f"key-{self.keys}",
        } | changes
        return str(self.approvals.decide(approval_id, Identity(who, "token"), vote, **given).state)

    def claim(self, approval_id: str, effect: str = "hold", lease_s: float = 60.0, **changes: Any) -> str:
        """The token."""
        digest = self.approvals.get(approval_id).digest
        now = Current(cast("Any", effect), action(**changes))
        return self.approvals.claim(approval_id, digest, now, "worker", lease_s).token

    def state(self, approval_id: str) -> str:
        return str(self.approvals.get(approval_id).state)

    def close(self) -> None:
        self.ledger.close()


def token_of(name: str) -> str:
    """A token that is not random, for tests only."""
    return "bsa_" + hashlib.sha256(name.encode()).hexdigest()[:43]


@functools.cache
def _directory(people: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]) -> Directory:
    return Directory(person(*one) for one in people)


def person(name: str, roles: tuple[str, ...], aliases: tuple[str, ...] = ()) -> Person:
    return Person(
        id=name, roles=roles, aliases=aliases, token_sha256=hashlib.sha256(token_of(name).encode()).hexdigest()
    )


def needs(*stages: tuple[int, str], expires_s: float = 3600.0) -> tuple[Obligation, ...]:
    """One obligation for each (k, roles); roles are separated by a slash."""
    return tuple(RequireApproval(k=k, of=tuple(roles.split("/")), expires_s=expires_s) for k, roles in stages)


def action(
    args: Mapping[str, Any] | None = None, obligations: tuple[Obligation, ...] | None = None, **changes: Any
) -> HeldAction:
    """A transfer of money that needs two people of finance, unless told otherwise."""
    given: dict[str, Any] = {
        "principal": REQUESTER,
        "owner": OWNER,
        "session": "s1",
        "action": "call",
        "tool": "bank.transfer",
        "tool_schema": SCHEMA,
        "args": {"amount": 100, "to": "DE89"} if args is None else args,
        "resource": "account/7",
        "policy": POLICY,
        "obligations": needs((2, "finance")) if obligations is None else obligations,
    }
    return HeldAction(**(given | changes))


def refused(code: str) -> "pytest.RaisesExc[Refusal]":
    """A context that expects a refusal with this code."""
    return pytest.raises(Refusal, check=lambda error: error.code == code)


def journal(world: World) -> list[dict[str, Any]]:
    """The payloads of all journal rows about approvals."""
    with world.ledger.read() as connection:
        return [json.loads(entry.payload) for entry in read_entries(connection, "guard.approval")]
