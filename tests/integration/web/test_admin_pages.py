"""The pages of admins and of rater links: what they do is what the API tells afterwards."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console_site import PASSWORD, Browser, ConsoleSite, add_project, console_site

from backstay.web.permissions import Role

pytestmark = pytest.mark.integration
HOOK = {"url": "https://hooks.example.org/a", "note": "the queue", "event.item.done": "1", "event.rater.paused": "1"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with console_site(tmp_path) as made:
        add_project(made, "p")
        add_project(made, "q")
        yield made


@pytest.fixture
def admin(site: ConsoleSite) -> Browser:
    return site.as_role(Role.ADMIN)


def once(page: Any) -> str:
    """What a page shows this once."""
    found = re.search(r'<code class="secret" id="secret">([^<]+)</code>', page.text)
    assert page.status_code == 200 and found is not None, page.text[:300]
    return found[1]


def path_of(link: str) -> str:
    assert link.startswith("http://127.0.0.1/")
    return link.removeprefix("http://127.0.0.1")


def test_an_invitation_is_made_for_some_projects_shown_once_and_used(site: ConsoleSite, admin: Browser) -> None:
    fields = {"role": "reviewer", "reach": "some", "project.q": "1", "note": "Ann <b>"}
    path = path_of(once(admin.form("/admin/invitations", fields)))
    later = admin.get("/admin/invitations").text
    assert "Ann &lt;b&gt;" in later and path not in later
    somebody = site.browser()
    assert "reviewer in q" in somebody.get(path).text
    typed = {"name": "ann", "display_name": "Ann", "password": PASSWORD, "again": PASSWORD}
    assert somebody.form(path, typed).status_code == 303
    (ann,) = [row for row in admin.get("/api/v1/accounts").json()["accounts"] if row["name"] == "ann"]
    assert (ann["role"], ann["projects"]) == ("reviewer", ["q"])
    assert "No link waits" in admin.get("/admin/invitations").text


def test_an_invitation_is_revoked_and_one_for_no_project_is_refused(site: ConsoleSite, admin: Browser) -> None:
    path = path_of(once(admin.form("/admin/invitations", {"role": "rater", "reach": "all"})))
    (waiting,) = admin.get("/api/v1/invitations").json()["invitations"]
    assert waiting["projects"] is None
    done = admin.form(f"/admin/invitations/{waiting['id']}/revoke")
    assert "Revoked" in admin.get(done.headers["location"]).text
    assert site.browser().get(path).status_code == 404
    for wrong in ({"role": "rater", "reach": "some"}, {"role": "owner"}, {"role": "rater", "note": "x" * 201}):
        assert admin.form("/admin/invitations", wrong).status_code == 400
    assert admin.get("/api/v1/invitations").json()["invitations"] == []


def test_role_projects_and_state_of_an_account_change(site: ConsoleSite, admin: Browser) -> None:
    ben = site.add(Role.RATER, "ben")
    here = f"/admin/accounts/{ben.id}"
    seen = site.signed_in(ben)
    moved = admin.form(here, {"role": "lead", "reach": "some", "project.p": "1", "project.none": "1"})
    assert moved.headers["location"] == f"{here}?did=saved" and "Saved." in admin.get(f"{here}?did=saved").text
    told = admin.get(f"/api/v1/accounts/{ben.id}").json()
    assert (told["role"], told["projects"]) == ("lead", ["p"])
    assert seen.get("/lead").status_code == 200
    assert seen.get("/lead/new").status_code == 403  # Bound to `p`, the account makes no others.
    admin.form(f"{here}/state", {"did": "disable"})
    assert seen.get("/lead/new").status_code == 303 and "disabled" in admin.get("/admin/accounts").text
    assert admin.form(f"{here}/reset-link").status_code == 409
    admin.form(f"{here}/state", {"did": "enable"})
    assert admin.get(f"/api/v1/accounts/{ben.id}").json()["state"] == "active"
    assert admin.form(f"{here}/state", {"did": "delete"}).status_code == 400


def test_nobody_changes_themselves_and_the_page_says_so(site: ConsoleSite, admin: Browser) -> None:
    own = next(iter(site.made.values()))
    page = admin.get(f"/admin/accounts/{own.id}").text
    assert "This is you" in page and "Disable" not in page
    refused = admin.form(f"/admin/accounts/{own.id}/state", {"did": "disable"})
    assert refused.status_code == 403 and f'href="/admin/accounts/{own.id}"' in refused.text


def test_a_locked_name_is_unlocked_and_a_link_sets_a_new_password(site: ConsoleSite, admin: Browser) -> None:
    cem = site.add(Role.RATER, "cem", password=PASSWORD)
    here = f"/admin/accounts/{cem.id}"
    most = site.accounts.settings.lock_failures
    for n in range(most):
        site.browser(f"10.0.{n}.1").sign_in("cem", "something else altogether")
    assert "locked" in admin.get("/admin/accounts").text and "Unlock" in admin.get(here).text
    assert site.browser("10.9.9.9").sign_in("cem").status_code != 303
    admin.form(f"{here}/unlock")
    assert "locked" not in admin.get("/admin/accounts").text
    path = path_of(once(admin.form(f"{here}/reset-link")))
    words = "four other words entirely"
    assert site.browser().form(path, {"name": "cem", "password": words, "again": words}).status_code == 303
    assert site.browser().sign_in("cem", words).status_code == 303


def test_an_admin_revokes_a_token_of_somebody(site: ConsoleSite, admin: Browser) -> None:
    dee = site.add(Role.LEAD, "dee")
    given = {"name": "nightly", "scopes": ["rate"], "holds_s": 3600}
    token = site.signed_in(dee).post("/api/v1/account/tokens", given).json()
    assert "nightly" in admin.get(f"/admin/accounts/{dee.id}").text
    (kept,) = admin.get(f"/api/v1/accounts/{dee.id}/tokens").json()["tokens"]
    admin.form(f"/admin/accounts/{dee.id}/tokens/{kept['id']}/revoke")
    bearer = {"authorization": f"Bearer {token['token']}", "x-backstay-csrf": None}
    assert site.browser().send("GET", "/api/v1/me", headers=bearer).status_code == 401


def test_a_webhook_is_made_changed_rotated_switched_and_removed(admin: Browser) -> None:
    secret = once(admin.form("/admin/webhooks", HOOK))
    (hook,) = admin.get("/api/v1/webhooks").json()["webhooks"]
    assert (hook["url"], hook["note"], hook["events"]) == (HOOK["url"], "the queue", ["item.done", "rater.paused"])
    here = f"/admin/webhooks/{hook['id']}"
    assert secret.startswith("whsec_") and secret not in admin.get(here).text
    admin.form(here, {"url": "https://hooks.example.org/b", "note": "", "event.import.done": "1"})
    assert once(admin.form(f"{here}/secret")) != secret
    admin.form(f"{here}/state", {"did": "off"})
    (now,) = admin.get("/api/v1/webhooks").json()["webhooks"]
    assert (now["url"], now["events"], now["state"]) == ("https://hooks.example.org/b", ["import.done"], "off")
    assert now["old_secret_until"] is not None and "The former one holds until" in admin.get(here).text
    gone = admin.form(f"{here}/remove")
    assert gone.headers["location"] == "/admin/webhooks?did=removed"
    assert admin.get("/api/v1/webhooks").json()["webhooks"] == [] and admin.get(here).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "https://10.0.0.1/x"}, "A webhook does not go to 10.0.0.1"),
        ({"url": "http://hooks.example.org/"}, "plain http"),
        ({"event.item.done": None, "event.rater.paused": None}, "No event is chosen"),
    ],
)
def test_a_refused_webhook_keeps_what_was_typed(admin: Browser, wrong: dict[str, str | None], said: str) -> None:
    fields = {name: value for name, value in (HOOK | wrong).items() if value is not None}
    page = admin.form("/admin/webhooks", fields)
    assert 400 <= page.status_code < 500 and said in page.text and 'value="the queue"' in page.text
    assert admin.get("/api/v1/webhooks").json()["webhooks"] == []


def test_deliveries_are_listed_by_state_and_sent_again(admin: Browser) -> None:
    admin.form("/admin/webhooks", HOOK)
    hook = admin.get("/api/v1/webhooks").json()["webhooks"][0]["id"]
    here = f"/admin/webhooks/{hook}"
    assert "told nothing yet" in admin.get(here).text
    assert admin.form(f"{here}/test").headers["location"] == f"{here}?did=tested"
    (sent,) = admin.get(f"/api/v1/webhooks/{hook}/deliveries").json()["deliveries"]
    assert sent["event_id"][:16] in admin.get(f"{here}?state=waiting").text
    assert "Nothing of this state" in admin.get(f"{here}?state=dead").text
    again = admin.form(f"{here}/deliveries/{sent['id']}/redeliver")
    assert again.headers["location"] == f"{here}?did=again"
    assert admin.form(f"{here}/deliveries/999999/redeliver").status_code == 404


def test_a_lead_makes_links_that_begin_and_revokes_one(site: ConsoleSite) -> None:
    lead = site.as_role(Role.LEAD)
    page = lead.form("/lead/p/links", {"ids": "ann\r\n\r\n ben ", "wanted": "2", "days": "3", "code": "DONE"})
    rows = re.findall(r"^(ann|ben),(x-[0-9a-f]{24}),http://127\.0\.0\.1(/link/\S+)$", page.text, re.MULTILINE)
    assert [row[0] for row in rows] == ["ann", "ben"]
    listed = lead.get("/lead/p/links").text
    assert listed.count("not opened") == 2 and listed.count("0 of 2, until") == 2 and "/link/" not in listed
    rater = site.browser()
    assert rater.form(rows[0][2]).headers["location"] == "/rate/p"
    assert lead.get("/lead/p/links").text.count("at work") == 1
    links = {link["rater_id"]: link["id"] for link in lead.get("/api/v1/projects/p/rater-links").json()["links"]}
    lead.form(f"/lead/p/links/{links[rows[0][1]]}/revoke")
    assert rater.get("/rate/p").status_code == 303 and site.browser().get(rows[0][2]).status_code == 404
    assert lead.form(f"/lead/q/links/{links[rows[1][1]]}/revoke").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [{"ids": " \n"}, {"ids": "a\na"}, {"wanted": "0"}, {"days": "2"}, {"code": "no spaces"}, {"ids": "x" * 201}],
)
def test_refused_links_keep_what_was_typed(site: ConsoleSite, wrong: dict[str, str]) -> None:
    lead = site.as_role(Role.LEAD)
    page = lead.form("/lead/p/links", {"ids": "ann", "wanted": "17", "days": "7", "code": ""} | wrong)
    assert (
        page.status_code == 400 and 'id="problem"' in page.text and f'value="{wrong.get("wanted", "17")}"' in page.text
    )
    assert lead.get("/api/v1/projects/p/rater-links").json()["links"] == []


def test_pages_that_are_not_there_say_so(site: ConsoleSite, admin: Browser) -> None:
    assert "There is no page at this address" in admin.get("/nowhere").text
    assert "There is no page at this address" in admin.get("/admin/accounts/No").text
    refused = site.as_role(Role.RATER).get("/admin/accounts")
    assert refused.status_code == 403 and "Not allowed" in refused.text


@pytest.mark.parametrize(
    ("role", "first"),
    [(Role.RATER, "/rate"), (Role.REVIEWER, "/review"), (Role.LEAD, "/lead"), (Role.SECURITY, "/lead")],
)
def test_everybody_begins_where_their_work_is(site: ConsoleSite, role: Role, first: str) -> None:
    browser = site.as_role(role)
    assert browser.get("/").headers["location"] == first and browser.get(first).status_code == 200


def test_the_page_of_a_link_knows_how_many_tasks_are_wanted(site: ConsoleSite) -> None:
    lead = site.as_role(Role.LEAD)
    page = lead.form("/lead/p/links", {"ids": "ann", "wanted": "17", "days": "1", "code": ""}).text
    rater = site.browser()
    rater.form(re.findall(r"http://127\.0\.0\.1(/link/\S+)", page)[0])
    assert 'data-wanted="17"' in rater.get("/rate/p").text
    assert 'data-wanted="0"' in lead.get("/rate/p").text
