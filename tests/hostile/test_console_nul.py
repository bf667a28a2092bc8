"""NUL characters, which PostgreSQL takes in no text: an answer for people on both databases, never an error of ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from console_site import CHEAP, Clock, ConsoleSite
from databases import Database

from backstay.web.accounts.settings import AccountSettings
from backstay.web.app import build_app
from backstay.web.console import open_console
from backstay.web.permissions import Role
from backstay.web.settings import ConsoleSettings


@pytest.fixture
def site(tmp_path: Path, database: Database) -> Iterator[ConsoleSite]:
    settings = ConsoleSettings(accounts=AccountSettings(password=CHEAP))
    console = open_console(database.url, tmp_path / ".backstay", settings, create=True)
    app = build_app(console)
    try:
        yield ConsoleSite(console, app, Clock(console.clock()))
    finally:
        app.state.accounts.close()
        console.close()


def test_a_name_with_nul_signs_nobody_in(site: ConsoleSite) -> None:
    answer = site.browser().form("/sign-in", {"name": "ann\0", "password": "a lamp under green water"})
    assert answer.status_code in (400, 401)


@pytest.mark.parametrize(
    ("role", "path"),
    [
        (Role.LEAD, "/api/v1/projects/%00"),
        (Role.LEAD, "/lead/%00"),
        (Role.LEAD, "/api/v1/projects/p/raters/a%00"),
        (Role.LEAD, "/api/v1/projects/p%00/rater-links"),
        (Role.LEAD, "/api/v1/projects/p%00/export?format=csv"),
        (Role.ADMIN, "/api/v1/webhooks/%00"),
        (Role.ADMIN, "/api/v1/webhooks?after=%00"),
        (Role.RATER, "/rate/%00"),
        (Role.RATER, "/api/v1/projects/%00/progress"),
    ],
)
def test_an_address_with_nul_is_refused(site: ConsoleSite, role: Role, path: str) -> None:
    assert site.as_role(role).get(path).status_code in (400, 404, 422)


@pytest.mark.parametrize("path", ["assignments/%00/renew", "projects/%00/undo", "projects/%00/assignments"])
def test_nothing_is_written_for_an_address_with_nul(site: ConsoleSite, path: str) -> None:
    assert site.as_role(Role.RATER).post(f"/api/v1/{path}").status_code in (400, 404)
