"""The lead's API: what it tells, to whom, and what pausing a rater does."""

import csv
import io
from collections.abc import Iterator

import pytest
from bulk_console import PROJECT
from console_site import Browser, ConsoleSite
from insight_site import insight_site

from backstay.storage.journal import read_entries
from backstay.web.permissions import Role

API = f"/api/v1/projects/{PROJECT}"
READ = {Role.REVIEWER, Role.LEAD, Role.SECURITY, Role.ADMIN}
RATERS = {Role.LEAD, Role.SECURITY}
ROUTES = [
    ("GET", f"{API}/overview", READ),
    ("GET", f"{API}/agreement", READ),
    ("GET", f"{API}/forecast", READ),
    ("GET", f"{API}/raters", RATERS),
    ("GET", f"{API}/raters/r-00001", RATERS),
    ("GET", f"{API}/trust", RATERS),
    ("GET", f"{API}/cohorts", RATERS),
    ("POST", f"{API}/raters/r-00001/status", {Role.LEAD}),
    ("GET", f"/lead/{PROJECT}", READ),
    ("GET", f"/lead/{PROJECT}/raters", RATERS),
    ("GET", f"/lead/{PROJECT}/raters/r-00001", RATERS),
    ("GET", f"/lead/{PROJECT}/cohorts", RATERS),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleSite]:
    with insight_site(tmp_path_factory.mktemp("insight"), judgments=300, raters=20) as made:
        yield made


@pytest.fixture(scope="module")
def lead(site: ConsoleSite) -> Browser:
    return site.as_role(Role.LEAD)


@pytest.mark.parametrize("role", list(Role))
def test_who_may_see_what(site: ConsoleSite, role: Role) -> None:
    browser = site.as_role(role)
    for method, path, roles in ROUTES:
        answer = browser.send(method, path, json={} if method == "POST" else None)
        expected = {200, 422} if role in roles else {403}
        assert answer.status_code in expected, (role, method, path, answer.text[:200])


def test_nobody_sees_anything_without_signing_in(site: ConsoleSite) -> None:
    for method, path, _ in ROUTES:
        assert site.browser().send(method, path, json={}).status_code in (303, 401, 403)


def test_a_lead_of_other_projects_finds_none(site: ConsoleSite) -> None:
    browser = site.as_role(Role.LEAD, projects=["other"])
    for method, path, _ in ROUTES:
        if path != "/lead":
            answer = browser.send(method, path, json={"status": "paused", "reason": "x"} if method == "POST" else None)
            assert answer.status_code == 404, path
    assert PROJECT not in browser.get("/lead").text


def test_raters_come_in_pages_and_as_a_sheet(lead: Browser) -> None:
    told = lead.get(f"{API}/raters?sort=judged&down=true").json()
    judged = [row["judged"] for row in told["raters"]]
    assert judged == sorted(judged, reverse=True)
    assert (told["total"], told["next"], told["trust"]) == (20, None, None)
    assert all(row["simulated"] for row in told["raters"])
    rows = list(csv.DictReader(io.StringIO(lead.get(f"{API}/raters?format=csv&text=r-00001").text)))
    assert [row["rater"] for row in rows] == ["r-00001"]
    assert lead.get(f"{API}/raters?after=nobody").status_code == 422


def test_pages_of_raters_join_to_the_whole_list(lead: Browser) -> None:
    whole = [row["rater"] for row in lead.get(f"{API}/raters?sort=judged&down=true&limit=500").json()["raters"]]
    joined: list[str] = []
    after: str | None = ""
    while after is not None:
        page = lead.get(f"{API}/raters?sort=judged&down=true&limit=7&after={after}").json()
        joined += [row["rater"] for row in page["raters"]]
        after = page["next"]
    assert joined == whole and len(set(whole)) == 20


@pytest.mark.parametrize(
    "query", ["sort=password", "down=perhaps", "limit=0", "limit=501", "format=xml", "text=" + "x" * 201]
)
def test_what_does_not_fit_is_refused(lead: Browser, query: str) -> None:
    assert lead.get(f"{API}/raters?{query}").status_code == 422


def test_a_rater_is_paused_with_a_reason(site: ConsoleSite, lead: Browser) -> None:
    path = f"{API}/raters/r-00003/status"
    assert lead.post(path, {"status": "paused", "reason": ""}).status_code == 422
    assert lead.post(path, {"status": "gone", "reason": "x"}).status_code == 422
    assert lead.post(path, {"status": "paused", "reason": "x", "by": "somebody"}).status_code == 422
    assert lead.post(path, {"status": "paused", "reason": "a\x00b"}).status_code == 422
    assert lead.post(path, {"status": "paused", "reason": "Too fast"}).status_code == 200
    assert lead.post(path, {"status": "paused", "reason": "again"}).status_code == 409
    assert lead.post(f"{API}/raters/none/status", {"status": "paused", "reason": "x"}).status_code == 404
    assert [row["rater"] for row in lead.get(f"{API}/raters?shown=paused").json()["raters"]] == ["r-00003"]
    with site.console.engine.connect() as connection:
        (entry,) = read_entries(connection, "console.rater")
    assert '"did":"paused"' in entry.payload
    assert "link:" not in entry.payload


def test_a_post_without_the_token_of_the_session_changes_nothing(lead: Browser) -> None:
    body = {"status": "paused", "reason": "x"}
    assert lead.post(f"{API}/raters/r-00005/status", body, headers={"x-backstay-csrf": None}).status_code == 403
    assert lead.get(f"{API}/raters/r-00005").json()["status"] == "active"


def test_an_account_is_shown_by_its_display_name_and_never_by_what_it_signs_in_with(site: ConsoleSite) -> None:
    from sqlalchemy import update

    from backstay.storage.account_tables import accounts

    made = site.add(Role.RATER, "ann@example.org")
    change = update(accounts).where(accounts.c.id == made.id).values(rater_id="r-00009", display_name="Ann <b>B</b>")
    site.console.write_now(lambda unit: unit.connection.execute(change))
    browser = site.as_role(Role.LEAD)
    assert browser.get(f"{API}/raters/r-00009").json()["name"] == "Ann <b>B</b>"
    for path in (f"/lead/{PROJECT}/raters", f"/lead/{PROJECT}/raters/r-00009"):
        page = browser.get(path).text
        assert "Ann &lt;b&gt;B&lt;/b&gt;" in page
        assert "ann@example.org" not in page


def test_numbers_agree_between_pages_and_api(lead: Browser) -> None:
    told = lead.get(f"{API}/overview").json()
    page = lead.get(f"/lead/{PROJECT}").text
    assert f'data-live="votes.given">{told["votes"]["given"]}<' in page
    alpha = lead.get(f"{API}/agreement").json()["agreement"][0]["alpha"]
    assert f"{alpha['value']:.2f}" in page
    assert lead.get(f"{API}/forecast?certainty=0.4").status_code == 422
    assert "style=" not in page
