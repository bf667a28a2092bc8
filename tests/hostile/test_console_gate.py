"""Requests that mean harm before anybody knows who sends them, and accounts that reach beyond their projects."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from account_world import principal
from console_site import ConsoleSite, console_site

from backstay.errors import ResourceError
from backstay.web.accounts import directory
from backstay.web.accounts.refusal import Refused
from backstay.web.next_page import LONGEST, next_of
from backstay.web.permissions import Role


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with console_site(tmp_path) as found:
        yield found


@pytest.mark.parametrize("start", ["/", "/a/", "/rate?"])
def test_where_to_go_next_is_read_in_one_walk(start: str) -> None:
    began = process_time()
    assert next_of(start + "a" * 24 + "!") == "/"
    assert next_of((start + "a" * LONGEST)[: LONGEST - 1] + "!") == "/"
    assert process_time() - began < 0.1


@pytest.mark.parametrize("path", ["/api/v1/projects/imports", "/api/v1/webhooks/imports"])
def test_a_name_that_looks_like_an_upload_gets_no_longer_body(site: ConsoleSite, path: str) -> None:
    """A body is read before anybody asks who sends it: only the upload's own route may leave its bound to itself."""
    long = b'{"name": "' + b"x" * site.console.settings.max_body_bytes + b'"}'
    answer = site.browser().send("PATCH", path, content=long)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "//", "http://127.0.0.1\\@evil.example"])
def test_an_origin_that_is_none_is_a_foreign_page(site: ConsoleSite, origin: str) -> None:
    answer = site.browser().send("POST", "/sign-in", data={"name": "x"}, headers={"origin": origin})
    assert answer.status_code == 403


def test_a_lead_of_certain_projects_makes_none_by_the_page_either(site: ConsoleSite) -> None:
    """`later` is open to the lead once it exists: made over another data set, it would open that to them."""
    bound = site.as_role(Role.LEAD, projects=["p", "later"])
    given = {
        "id": "later",
        "name": "L",
        "dataset": "secret",
        "dimension.overall": "on",
        "votes": "1",
        "most_votes": "1",
    }
    answers = [bound.get("/lead/new"), bound.form("/lead/new", given)]
    answers.append(bound.post("/api/v1/projects", {"id": "later", "name": "L", "dataset": "secret"}))
    assert [answer.status_code for answer in answers] == [403, 403, 403]


def test_an_admin_of_certain_projects_has_nothing_that_reaches_beyond_them(site: ConsoleSite) -> None:
    bound, other = site.as_role(Role.ADMIN, projects=["p"]), site.add(Role.LEAD)
    hook: dict[str, Any] = {"url": "https://example.org/", "events": ["judgment.created"]}
    answers = [
        bound.post("/api/v1/invitations", {"role": "admin", "projects": None}),
        bound.post(f"/api/v1/accounts/{other.id}/reset-link"),
        bound.send("PATCH", f"/api/v1/accounts/{other.id}", json={"projects": None}),
        bound.post("/api/v1/webhooks", hook),
        bound.get("/api/v1/audit"),
        bound.get("/security/audit"),
    ]
    assert [answer.status_code for answer in answers] == [403] * len(answers)


def test_the_last_admin_of_everything_stays_one(site: ConsoleSite) -> None:
    """Two admins who bind each other at the same moment: a bound one looks after no accounts."""
    first, second = site.add(Role.ADMIN), site.add(Role.ADMIN)
    bind = partial(directory.change, projects=("p",))
    site.console.write_now(lambda unit: bind(unit, principal(first), second.id))
    with pytest.raises(Refused, match="the last admin stays one"):
        site.console.write_now(lambda unit: bind(unit, principal(second), first.id))


@pytest.mark.parametrize("name", [" ", "a\nb", "sky \u202eyks", "a\u2028b"])
def test_a_project_is_not_renamed_to_what_hides_its_name(site: ConsoleSite, name: str) -> None:
    lead = site.as_role(Role.LEAD)
    assert lead.post("/api/v1/projects", {"id": "p", "name": "Sky", "dataset": "d"}).status_code == 201
    assert lead.send("PATCH", "/api/v1/projects/p", json={"name": name}).status_code == 400
    assert lead.form("/lead/p/settings", {"group": "project", "name": name, "status": "open"}).status_code == 400
    assert lead.get("/api/v1/projects/p").json()["name"] == "Sky"


def test_no_log_holds_a_link_that_has_yet_to_be_used(
    site: ConsoleSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def busy(_: object) -> None:
        raise ResourceError("the database is locked by another process")

    secret = "s" * 43
    monkeypatch.setattr(site.console, "read", busy)
    answers = [site.browser().get(f"/join/{secret}"), site.browser().get(f"/link/brl_{secret}")]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert len(caplog.messages) == 2
    assert secret not in caplog.text
    assert "/join/{secret}" in caplog.text
