"""The console over a small database, with a clock that is moved by hand, and clients that send what browsers would."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from sqlalchemy import insert
from starlette.testclient import TestClient

from backstay.storage.console_tables import projects
from backstay.web.accounts import audit_log, directory, sessions
from backstay.web.accounts.accounts import Accounts
from backstay.web.accounts.directory import Account
from backstay.web.accounts.settings import AccountSettings, PasswordSettings
from backstay.web.app import build_app
from backstay.web.console import Console, open_console
from backstay.web.permissions import Role
from backstay.web.settings import ConsoleSettings

NOW_MS = 1_800_000_000_000
ORIGIN = "http://127.0.0.1"
CHEAP = PasswordSettings(memory_kib=8, passes=1)
PASSWORD = "a lamp under green water"


@dataclass
class Clock:
    """Stands until it is moved."""

    now_ms: int = NOW_MS

    def __call__(self) -> int:
        return self.now_ms

    def move(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


@dataclass
class ConsoleSite:
    """A console, its application and its clock."""

    console: Console
    app: FastAPI
    clock: Clock
    made: dict[str, Account] = field(default_factory=dict)

    @property
    def accounts(self) -> Accounts:
        found = self.app.state.accounts
        assert isinstance(found, Accounts)
        return found

    def browser(self, address: str = "127.0.0.1") -> "Browser":
        """A browser without cookies."""
        client = TestClient(self.app, base_url=ORIGIN, follow_redirects=False, client=(address, 50_000))
        return Browser(self, client)

    def add(
        self, role: Role, name: str = "", *, projects: Sequence[str] | None = None, password: str | None = None
    ) -> Account:
        """An account of this role; with a password only where one is given."""
        wanted = name or f"{role.value}-{len(self.made)}"
        hashed = None if password is None else self.accounts.passwords._hasher.hash(password)
        found = self.console.write_now(lambda unit: directory.add(unit, wanted, wanted.title(), role, projects, hashed))
        self.made[wanted] = found
        return found

    def signed_in(self, account: Account) -> "Browser":
        """A browser in which an account is signed in."""
        settings = self.accounts.settings.session
        session_id, cookie = self.console.write_now(
            lambda unit: sessions.begin(unit, settings, account_id=account.id, browser="Test browser")
        )
        browser = self.browser()
        browser.plant(cookie)
        browser.csrf, browser.session_id = self.accounts.csrf_of(session_id), session_id
        return browser

    def as_role(self, role: Role, **given: Any) -> "Browser":
        """A new account of this role, signed in."""
        return self.signed_in(self.add(role, **given))

    def journal(self, what: str = "") -> list[dict[str, Any]]:
        """The console's rows of the journal, the oldest first."""
        with self.console.engine.connect() as connection:
            found, _ = audit_log.acts(connection, most=200)
        return [act.payload for act in reversed(found) if not what or act.payload["what"] == what]


@dataclass
class Browser:
    """Sends what a browser would: cookies, an Origin, the CSRF token of the page; follows no redirect."""

    site: ConsoleSite
    client: TestClient
    csrf: str = ""
    session_id: str = ""

    def send(self, method: str, path: str, **given: Any) -> Any:
        headers = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}
        headers |= {"x-backstay-csrf": self.csrf} if self.csrf else {}
        headers |= {name.replace("_", "-"): value for name, value in given.pop("headers", {}).items()}
        return self.client.request(method, path, headers={k: v for k, v in headers.items() if v is not None}, **given)

    def get(self, path: str, **given: Any) -> Any:
        return self.send("GET", path, **given)

    def post(self, path: str, json: Any = None, **given: Any) -> Any:
        return self.send("POST", path, json=json, **given)

    def form(self, path: str, fields: dict[str, str] | None = None, **given: Any) -> Any:
        """Post a form, as a page of this session would."""
        with_token = ({"form": self.csrf} if self.csrf else {}) | (fields or {})
        return self.send("POST", path, data=with_token, headers={"x-backstay-csrf": None, **given})

    def sign_in(self, name: str, password: str = PASSWORD, after: str = "/") -> Any:
        """Use the form; the CSRF token of later requests comes from the page of the account."""
        answer = self.form("/sign-in", {"name": name, "password": password, "next": after})
        if answer.status_code == 303:
            self.read_csrf()
        return answer

    def read_csrf(self) -> str:
        page = self.get("/account").text
        found = re.search(r'<meta name="csrf" content="([0-9a-f]+)">', page)
        assert found is not None, page[:500]
        self.csrf = found[1]
        return self.csrf

    def plant(self, cookie: str) -> None:
        """Have this session cookie, wherever it comes from."""
        self.client.cookies.set(self.site.accounts.cookie, cookie, domain="127.0.0.1")

    @property
    def cookie(self) -> str:
        return str(self.client.cookies.get(self.site.accounts.cookie) or "")


@contextlib.contextmanager
def console_site(
    folder: Path, accounts: AccountSettings | None = None, *, database: str = "", **settings: Any
) -> Iterator[ConsoleSite]:
    """A console until the block ends: on a database that is named, else on the folder's, new where it has none."""
    chosen = (accounts or AccountSettings()).model_copy(update={"password": CHEAP})
    place = database or folder / "console.db"
    console = open_console(place, folder, ConsoleSettings(accounts=chosen, **settings), create=True)
    clock = Clock()
    console.clock = clock
    app = build_app(console)
    try:
        yield ConsoleSite(console, app, clock)
    finally:
        app.state.accounts.close()
        console.close()


def add_project(site: ConsoleSite, name: str) -> None:
    """A project without items."""
    row = {"id": name, "name": f"Project {name}", "dataset": name, "settings": "{}", "status": "open"}
    row |= {"created_by": "tests"}
    site.console.write_now(
        lambda unit: unit.connection.execute(insert(projects).values({**row, "created_at_ms": NOW_MS}))
    )
