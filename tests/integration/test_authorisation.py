"""Every route of the console, and who gets through: a table that a test walks.

A route that is not in the table fails the first test. Letters: r rater, v reviewer, l lead, s security, a admin, k a
rater link, t an API token of a lead with the scope `rate` only. PUBLIC lets everybody through, and says why below.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from console_site import ORIGIN, ConsoleSite, add_project, console_site
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from backstay.web.accounts.settings import AccountSettings
from backstay.web.gate import Allowed, Public
from backstay.web.permissions import LINK_PERMISSIONS, PERMISSIONS, Permission, Role

pytestmark = pytest.mark.integration

PUBLIC = "public"
EVERYBODY, RATES, READS, LEADS, ADMINS, OWN = "rvlsakt", "rvlkt", "rvlsakt", "l", "a", "rvlsa"
REVIEWS, SEES_PROJECTS, PROPOSES, CONFIRMS = "vl", "vlsa", "vls", "ls"
TABLE = {
    "POST /api/v1/account/password": OWN,
    "GET /api/v1/account/sessions": OWN,
    "DELETE /api/v1/account/sessions/{session}": OWN,
    "GET /api/v1/account/tokens": OWN,
    "POST /api/v1/account/tokens": OWN,
    "DELETE /api/v1/account/tokens/{token}": OWN,
    "GET /api/v1/accounts": ADMINS,
    "GET /api/v1/accounts/{account}": ADMINS,
    "PATCH /api/v1/accounts/{account}": ADMINS,
    "POST /api/v1/accounts/{account}/unlock": ADMINS,
    "POST /api/v1/accounts/{account}/reset-link": ADMINS,
    "GET /api/v1/accounts/{account}/tokens": ADMINS,
    "DELETE /api/v1/accounts/{account}/tokens/{token}": ADMINS,
    "GET /api/v1/invitations": ADMINS,
    "POST /api/v1/invitations": ADMINS,
    "DELETE /api/v1/invitations/{invitation}": ADMINS,
    "GET /api/v1/audit": "sa",
    "GET /api/v1/projects": READS,
    "POST /api/v1/projects": LEADS,
    "GET /api/v1/projects/{project}": READS,
    "PATCH /api/v1/projects/{project}": LEADS,
    "GET /api/v1/projects/{project}/items": SEES_PROJECTS,
    "POST /api/v1/projects/{project}/items": LEADS,
    "PUT /api/v1/projects/{project}/scores": LEADS,
    "GET /api/v1/projects/{project}/guidelines": READS,
    "POST /api/v1/projects/{project}/guidelines": LEADS,
    "GET /api/v1/projects/{project}/rater-links": LEADS,
    "POST /api/v1/projects/{project}/rater-links": LEADS,
    "DELETE /api/v1/projects/{project}/rater-links/{link}": LEADS,
    "POST /api/v1/projects/{project}/assignments": RATES,
    "POST /api/v1/projects/{project}/undo": RATES,
    "GET /api/v1/projects/{project}/progress": RATES,
    "POST /api/v1/assignments/{assignment}/judgment": RATES,
    "POST /api/v1/assignments/{assignment}/skip": RATES,
    "POST /api/v1/assignments/{assignment}/renew": RATES,
    "POST /api/v1/projects/{project}/imports": LEADS,
    "GET /api/v1/projects/{project}/rejects": LEADS,
    "GET /api/v1/projects/{project}/export": "ls",
    "GET /api/v1/projects/{project}/overview": SEES_PROJECTS,
    "GET /api/v1/projects/{project}/agreement": SEES_PROJECTS,
    "GET /api/v1/projects/{project}/forecast": SEES_PROJECTS,
    "GET /api/v1/projects/{project}/trust": CONFIRMS,
    "POST /api/v1/projects/{project}/trust": LEADS,
    "GET /api/v1/projects/{project}/raters": CONFIRMS,
    "GET /api/v1/projects/{project}/raters/{rater}": CONFIRMS,
    "POST /api/v1/projects/{project}/raters/{rater}/status": LEADS,
    "GET /api/v1/projects/{project}/cohorts": CONFIRMS,
    "GET /lead/{project}": SEES_PROJECTS,
    "GET /lead/{project}/raters": CONFIRMS,
    "GET /lead/{project}/raters/{rater}": CONFIRMS,
    "POST /lead/{project}/raters/{rater}/status": LEADS,
    "POST /lead/{project}/trust": LEADS,
    "GET /lead/{project}/cohorts": CONFIRMS,
    "GET /api/v1/webhooks": ADMINS,
    "POST /api/v1/webhooks": ADMINS,
    "GET /api/v1/webhooks/{webhook}": ADMINS,
    "PATCH /api/v1/webhooks/{webhook}": ADMINS,
    "DELETE /api/v1/webhooks/{webhook}": ADMINS,
    "POST /api/v1/webhooks/{webhook}/secret": ADMINS,
    "POST /api/v1/webhooks/{webhook}/test": ADMINS,
    "GET /api/v1/webhooks/{webhook}/deliveries": ADMINS,
    "POST /api/v1/webhooks/{webhook}/deliveries/{delivery}/redeliver": ADMINS,
    "GET /api/v1/me": EVERYBODY,
    "GET /api/v1/healthz": PUBLIC,
    "GET /rate": RATES,
    "GET /rate/{project}": RATES,
    "GET /link": RATES,
    "GET /account": OWN,
    "POST /account/password": OWN,
    "POST /account/sessions/{session}/end": OWN,
    "POST /account/tokens": OWN,
    "POST /account/tokens/{token}/revoke": OWN,
    "GET /api/v1/projects/{project}/disputes": REVIEWS,
    "GET /api/v1/projects/{project}/disputes/{item}": REVIEWS,
    "POST /api/v1/projects/{project}/disputes/{item}/verdict": REVIEWS,
    "POST /api/v1/projects/{project}/items/{item}/dispute": REVIEWS,
    "GET /api/v1/projects/{project}/items/{item}": SEES_PROJECTS,
    "GET /api/v1/projects/{project}/drafts": REVIEWS,
    "GET /api/v1/projects/{project}/drafts/{draft}": REVIEWS,
    "POST /api/v1/projects/{project}/drafts/{draft}/accept": REVIEWS,
    "POST /api/v1/projects/{project}/drafts/{draft}/refuse": REVIEWS,
    "GET /api/v1/projects/{project}/gold": PROPOSES,
    "POST /api/v1/projects/{project}/gold/proposals": PROPOSES,
    "GET /api/v1/proposals": PROPOSES,
    "GET /api/v1/proposals/{proposal}": PROPOSES,
    "POST /api/v1/proposals/{proposal}/confirm": CONFIRMS,
    "POST /api/v1/proposals/{proposal}/refuse": CONFIRMS,
    "POST /api/v1/proposals/{proposal}/withdraw": PROPOSES,
    "GET /api/v1/quarantine": PROPOSES,
    "POST /api/v1/quarantine/{pair}/proposals": PROPOSES,
    "GET /api/v1/audit/verify": "sa",
    "POST /api/v1/audit/verify": "sa",
    "GET /review": REVIEWS,
    "GET /review/{project}/disputes": REVIEWS,
    "GET /review/{project}/disputes/{item}": REVIEWS,
    "POST /review/{project}/disputes/{item}": REVIEWS,
    "GET /review/{project}/settled/{item}": REVIEWS,
    "POST /review/{project}/items/{item}/dispute": REVIEWS,
    "GET /review/{project}/drafts": REVIEWS,
    "GET /review/{project}/drafts/{draft}": REVIEWS,
    "POST /review/{project}/drafts/{draft}": REVIEWS,
    "GET /lead": SEES_PROJECTS,
    "GET /lead/new": LEADS,
    "POST /lead/new": LEADS,
    "GET /lead/{project}/settings": SEES_PROJECTS,
    "POST /lead/{project}/settings": LEADS,
    "GET /lead/{project}/guidelines": SEES_PROJECTS,
    "POST /lead/{project}/guidelines": LEADS,
    "GET /lead/{project}/gold": PROPOSES,
    "POST /lead/{project}/gold/proposals": PROPOSES,
    "GET /lead/{project}/import": LEADS,
    "GET /lead/{project}/items/{item}": SEES_PROJECTS,
    "GET /security/proposals": PROPOSES,
    "GET /security/proposals/{proposal}": PROPOSES,
    "POST /security/proposals/{proposal}": CONFIRMS,
    "POST /security/proposals/{proposal}/withdraw": PROPOSES,
    "GET /security/quarantine": PROPOSES,
    "POST /security/quarantine/{pair}": PROPOSES,
    "GET /security/audit": "sa",
    "POST /security/audit/verify": "sa",
    "GET /admin/accounts": ADMINS,
    "GET /admin/accounts/{account}": ADMINS,
    "POST /admin/accounts/{account}": ADMINS,
    "POST /admin/accounts/{account}/state": ADMINS,
    "POST /admin/accounts/{account}/unlock": ADMINS,
    "POST /admin/accounts/{account}/reset-link": ADMINS,
    "POST /admin/accounts/{account}/tokens/{token}/revoke": ADMINS,
    "GET /admin/invitations": ADMINS,
    "POST /admin/invitations": ADMINS,
    "POST /admin/invitations/{invitation}/revoke": ADMINS,
    "GET /admin/webhooks": ADMINS,
    "POST /admin/webhooks": ADMINS,
    "GET /admin/webhooks/{webhook}": ADMINS,
    "POST /admin/webhooks/{webhook}": ADMINS,
    "POST /admin/webhooks/{webhook}/state": ADMINS,
    "POST /admin/webhooks/{webhook}/secret": ADMINS,
    "POST /admin/webhooks/{webhook}/test": ADMINS,
    "POST /admin/webhooks/{webhook}/remove": ADMINS,
    "POST /admin/webhooks/{webhook}/deliveries/{delivery}/redeliver": ADMINS,
    "GET /lead/{project}/links": LEADS,
    "POST /lead/{project}/links": LEADS,
    "POST /lead/{project}/links/{link}/revoke": LEADS,
    "GET /": PUBLIC,
    "GET /assets/{version}/{name}": PUBLIC,
    "GET /sign-in": PUBLIC,
    "POST /sign-in": PUBLIC,
    "GET /sign-in/with/{provider}": PUBLIC,
    "GET /sign-in/with/{provider}/callback": PUBLIC,
    "POST /sign-out": PUBLIC,
    "GET /join/{secret}": PUBLIC,
    "POST /join/{secret}": PUBLIC,
    "GET /join/{secret}/with/{provider}": PUBLIC,
    "GET /link/{token}": PUBLIC,
    "POST /link/{token}": PUBLIC,
}
UNGATED = {"GET /api/v1/openapi.json"}
"""Says what the API takes, and nothing of anybody's."""

NAMES = {"r": Role.RATER, "v": Role.REVIEWER, "l": Role.LEAD, "s": Role.SECURITY, "a": Role.ADMIN}
GATED = sorted(route for route, who in TABLE.items() if who != PUBLIC)
FILL = {
    "rater": "r-0",
    "webhook": "0" * 36,
    "delivery": "1",
    "project": "p",
    "session": "0" * 36,
    "token": "0" * 36,
    "account": "0" * 36,
    "invitation": "0" * 36,
    "link": "0" * 36,
    "assignment": "0" * 36,
    "item": "item-0",
    "draft": "0" * 36,
    "proposal": "0" * 36,
    "pair": "pair-0",
    "secret": "x" * 43,
    "provider": "none",
    "version": "0",
    "name": "none.css",
}


@dataclass
class World:
    """A site, one open client, and what each kind of caller sends with a request."""

    site: ConsoleSite
    client: TestClient
    headers: dict[str, dict[str, str]]

    def send(self, route: str, who: str, **changed: str | None) -> Any:
        method, path = route.split(" ")
        headers = {"origin": ORIGIN, "sec-fetch-site": "same-origin", **self.headers.get(who, {})}
        for name, value in changed.items():
            headers.pop(name.replace("_", "-"), None)
            if value is not None:
                headers[name.replace("_", "-")] = value
        self.client.cookies.clear()
        return self.client.request(method, path.format_map(FILL), headers=headers)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = AccountSettings(api_burst=100_000)
    with console_site(tmp_path_factory.mktemp("site"), settings) as site:
        for project in ("p", "elsewhere"):
            add_project(site, project)
        with TestClient(site.app, base_url=ORIGIN, follow_redirects=False) as client:
            yield World(site, client, callers(site))


def callers(site: ConsoleSite) -> dict[str, dict[str, str]]:
    found = {letter: session_headers(site, role) for letter, role in NAMES.items()}
    lead = site.as_role(Role.LEAD)
    token = lead.post("/api/v1/account/tokens", {"name": "t", "scopes": ["rate"], "holds_s": 3600}).json()["token"]
    found["t"] = {"authorization": f"Bearer {token}"}
    order = {"external_ids": ["someone"], "wanted": 1, "holds_s": 3600}
    link = lead.post("/api/v1/projects/p/rater-links", order).json()["links"][0]
    browser = site.browser()
    assert browser.form(link["path"]).status_code == 303
    with site.console.engine.connect() as connection:
        session = connection.exec_driver_sql("SELECT id FROM account_sessions WHERE link_id IS NOT NULL").scalar_one()
    found["k"] = {
        "cookie": f"{site.accounts.cookie}={browser.cookie}",
        "x-backstay-csrf": site.accounts.csrf_of(session),
    }
    for letter, role in NAMES.items():
        found[f"{letter} elsewhere"] = session_headers(site, role, projects=("elsewhere",))
    return found


def session_headers(site: ConsoleSite, role: Role, **given: Any) -> dict[str, str]:
    browser = site.as_role(role, **given)
    return {"cookie": f"{site.accounts.cookie}={browser.cookie}", "x-backstay-csrf": browser.csrf}


def routes(site: ConsoleSite) -> dict[str, list[Any]]:
    """Every route, with the gates that it asks."""
    found: dict[str, list[Any]] = {}
    for route in iter_route_contexts(site.app.routes):
        asked = getattr(getattr(route, "dependant", None), "dependencies", [])
        gates = [one.call for one in asked if isinstance(one.call, Allowed | Public)]
        for method in set(route.methods or ()) - {"HEAD", "OPTIONS"}:
            found[f"{method} {route.path}"] = gates
    return found


def code_of(answer: Any) -> str:
    """Why a request did not get through; empty where it did."""
    if answer.headers.get("content-type", "").startswith("application/json") and answer.status_code >= 400:
        code = str(answer.json()["error"]["code"])
        return code if code in ("signed_out", "not_allowed", "csrf", "foreign_page") else ""
    if answer.status_code == 303 and answer.headers["location"].startswith("/sign-in?next="):
        return "signed_out"
    if answer.status_code == 403:
        texts = {
            "needs the permission": "not_allowed",
            "lacks this session": "csrf",
            "did not come from": "foreign_page",
        }
        return next((code for text, code in texts.items() if text in answer.text), "")
    return ""


def test_every_route_is_in_the_table_and_asks_one_gate(world: World) -> None:
    found = routes(world.site)
    assert set(found) == set(TABLE) | UNGATED
    assert {route for route, gates in found.items() if len(gates) != 1} == UNGATED
    for route, gates in found.items():
        if route not in UNGATED:
            assert isinstance(gates[0], Public) is (TABLE[route] == PUBLIC), route


@pytest.mark.parametrize("route", GATED)
def test_who_gets_through(world: World, route: str) -> None:
    assert code_of(world.send(route, "nobody")) == "signed_out"
    for who in EVERYBODY:
        answer = world.send(route, who)
        assert answer.status_code < 500
        assert code_of(answer) == ("" if who in TABLE[route] else "not_allowed"), (who, answer.status_code)


@pytest.mark.parametrize("route", [route for route in GATED if not route.startswith("GET ")])
def test_what_writes_asks_for_the_session_s_token_and_our_page(world: World, route: str) -> None:
    who = TABLE[route][0]
    another = world.headers["v" if who != "v" else "r"]["x-backstay-csrf"]
    assert code_of(world.send(route, who, x_backstay_csrf=None)) == "csrf"
    assert code_of(world.send(route, who, x_backstay_csrf=another)) == "csrf"
    assert code_of(world.send(route, who, origin="https://evil.example")) == "foreign_page"


@pytest.mark.parametrize("route", sorted(r for r, who in TABLE.items() if who == PUBLIC and r.startswith("POST ")))
def test_what_everybody_may_write_comes_from_our_page(world: World, route: str) -> None:
    assert code_of(world.send(route, "nobody", origin="https://evil.example")) == "foreign_page"
    assert code_of(world.send(route, "nobody", sec_fetch_site="cross-site")) == "foreign_page"


@pytest.mark.parametrize("route", [route for route in GATED if "{project}" in route])
def test_a_project_is_open_to_its_own_people_only(world: World, route: str) -> None:
    for who in set(TABLE[route]) & set(NAMES):
        answer = world.send(route, f"{who} elsewhere")
        assert answer.status_code == 404 and "no such project" in answer.text, who


def test_lists_and_new_projects_keep_to_one_s_own(world: World) -> None:
    listed = world.send("GET /api/v1/projects", "l elsewhere").json()["projects"]
    assert [project["id"] for project in listed] == ["elsewhere"]
    assert [p["id"] for p in world.send("GET /api/v1/projects", "k").json()["projects"]] == ["p"]
    headers = {"origin": ORIGIN, **world.headers["l elsewhere"]}
    body = {"id": "mine", "name": "Mine", "dataset": "p"}
    assert world.client.post("/api/v1/projects", json=body, headers=headers).status_code == 403


def test_what_each_role_may(world: World) -> None:
    """The table of the design, written out once more."""
    wanted = {
        "rate": "rvl",
        "review": "vl",
        "read_project": "vlsa",
        "read_raters": "ls",
        "manage_project": "l",
        "manage_raters": "l",
        "export": "ls",
        "propose": "vls",
        "confirm": "ls",
        "read_audit": "sa",
        "manage_accounts": "a",
        "manage_webhooks": "a",
        "own_account": "rvlsa",
    }
    found = {p.value: "".join(key for key, role in NAMES.items() if p in PERMISSIONS[role]) for p in Permission}
    assert found == wanted
    assert {p.value for p in LINK_PERMISSIONS} == {"rate"}
