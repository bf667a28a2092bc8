"""The databases that tests run on: SQLite always, PostgreSQL where its binaries are found.

A session starts one private server in a temporary folder, without fsync, and stops it by its process id. Each test gets
a database of its own, copied from one that has the tables already.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from backstay.storage import open_database
from backstay.storage.location import DATABASE_VARIABLE

UNPRIVILEGED = ("postgres", "nobody")
PASSWORD = "pa:ss word"
START_S = 60.0
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "deadlock_timeout": "300ms",
}


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL's programs; None where there is none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda path: int(path.parent.name), default=None)


def _user() -> dict[str, Any]:
    """Whom the server runs as: root may not run one."""
    if os.geteuid() != 0:
        return {}
    for name in UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    pytest.skip(f"PostgreSQL does not run as root, and there is none of the users {', '.join(UNPRIVILEGED)}")


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
    return port


class Server:
    """A private PostgreSQL server: by socket without a password, by loopback with one."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self.folder, self._as = programs, folder, _user()
        self.port = free_port()
        self._names = (f"t{number}" for number in count())
        if self._as:
            os.chown(folder, self._as["user"], self._as["group"])
        self._initialise()
        self.start()
        self.execute(f"CREATE ROLE rater LOGIN PASSWORD '{PASSWORD}'")
        self.execute("CREATE DATABASE prepared")
        open_database(self.url("prepared")).dispose()

    def _initialise(self) -> None:
        # Text in an order of its own, as most servers have it: what we compute must not depend on it.
        order = ("--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8")
        base = (self._programs / "initdb", "-D", self.folder / "data", "-U", "tester", "-E", "UTF8", "--no-sync")
        for more in (order, ("--locale=C.UTF-8",)):
            done = subprocess.run(
                [*base, "-A", "trust", *more], cwd=self.folder, capture_output=True, text=True, check=False, **self._as
            )
            if done.returncode == 0:
                break
        else:
            raise RuntimeError(done.stderr)
        rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (self.folder / "data" / "pg_hba.conf").write_text(rules)

    def start(self, **more: str) -> None:
        """Start it and wait until it answers."""
        settings = {**SETTINGS, "unix_socket_directories": str(self.folder), "listen_addresses": "127.0.0.1", **more}
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data", "-p", str(self.port), *options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self._as,
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])

    def _answers(self) -> bool:
        asked = [
            str(self._programs / "pg_isready"),
            "-q",
            "-h",
            str(self.folder),
            "-p",
            str(self.port),
            "-d",
            "postgres",
        ]
        return subprocess.run(asked, check=False).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it, its clients first; SIGQUIT as a crash would."""
        self._process.send_signal(how)
        self._process.wait(START_S)

    def url(self, name: str) -> str:
        """Where a database is."""
        return f"postgresql://tester@/{name}?host={self.folder}&port={self.port}"

    def url_by_password(self, name: str, password: str, user: str = "rater") -> str:
        """Where it is, over the loopback."""
        quoted = password.replace(":", "%3A").replace(" ", "%20")
        return f"postgresql://{user}:{quoted}@127.0.0.1:{self.port}/{name}"

    def place(self, name: str) -> str:
        """Where it is, as the driver takes it."""
        return f"host={self.folder} port={self.port} user=tester dbname={name}"

    def execute(self, statement: str, name: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement outside of any transaction."""
        import psycopg

        with psycopg.connect(self.place(name), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self, *, empty: bool = False) -> str:
        """A database for one test, with the tables unless it is to be empty; its name."""
        name = next(self._names)
        template = "template1" if empty else "prepared"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database and end its clients."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@dataclass
class Database:
    """Where a test's database is; `server` and `name` are set for PostgreSQL."""

    kind: str
    url: str
    server: Server | None = None
    name: str = ""
    _folder: Path = field(default=Path())
    _others: list[str] = field(default_factory=list)

    def another(self, *, empty: bool = False) -> str:
        """The URL of one more database of the same kind."""
        if self.server is None:
            self._others.append("")
            return f"sqlite:///{self._folder}/other-{len(self._others)}.db"
        self._others.append(self.server.new_database(empty=empty))
        return self.server.url(self._others[-1])

    def connect(self) -> Any:
        """A driver's connection for whoever bends what is stored: no foreign keys, no triggers, no transaction."""
        if self.server is None:
            plain = sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)
            for (name,) in plain.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                plain.execute(f"DROP TRIGGER {name}")
            return plain
        import psycopg

        connection = psycopg.connect(self.server.place(self.name), autocommit=True)
        connection.execute("SET session_replication_role = replica")
        return connection

    def clean(self) -> None:
        """Drop what was made on the server."""
        for name in (self.name, *self._others):
            if self.server is not None and name:
                self.server.drop(name)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL: neither `initdb` on the path nor /usr/lib/postgresql/*/bin")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with tempfile.TemporaryDirectory(prefix="backstay-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = Server(programs, Path(folder))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The database of the project in `tmp_path`; BACKSTAY_DATABASE_URL names it where it is no file there."""
    if request.param == "sqlite":
        monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
        yield Database("sqlite", f"sqlite:///{tmp_path}/.backstay/backstay.db", _folder=tmp_path)
        return
    server: Server = request.getfixturevalue("postgresql_server")
    name = server.new_database()
    monkeypatch.setenv(DATABASE_VARIABLE, server.url(name))
    made = Database("postgresql", server.url(name), server, name, tmp_path)
    try:
        yield made
    finally:
        made.clean()


ONLY_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ONLY_POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
