"""Signing in, sessions and accounts over HTTP, and what attackers try."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import argon2
import pytest
from console_site import CHEAP, PASSWORD, ConsoleSite, add_project, console_site

from backstay.web.accounts import directory
from backstay.web.accounts.accounts import Browser as Sender
from backstay.web.accounts.refusal import Refused
from backstay.web.accounts.settings import AccountSettings
from backstay.web.permissions import Role

pytestmark = pytest.mark.integration


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with console_site(tmp_path, AccountSettings(lock_failures=8)) as opened:
        yield opened


class Counting:
    """A hasher that counts what it does, by parameters."""

    def __init__(self, hasher: argon2.PasswordHasher) -> None:
        self._hasher, self.done = hasher, list[str]()

    def verify(self, stored: str, password: str) -> bool:
        self.done.append("verify " + stored.split("$")[3])
        return self._hasher.verify(stored, password)

    def hash(self, password: str) -> str:
        self.done.append("hash")
        return self._hasher.hash(password)

    def check_needs_rehash(self, stored: str) -> bool:
        return self._hasher.check_needs_rehash(stored)


def shape(answer: Any, name: str) -> tuple[int, str, list[str]]:
    """What an answer tells: status, page without the name that was typed, names of its headers."""
    return answer.status_code, answer.text.replace(name, "NAME"), sorted(answer.headers)


def test_no_answer_tells_which_names_there_are(site: ConsoleSite) -> None:
    """Unknown, wrong, disabled, locked, without a password: the same page and the same hashing."""
    for name in ("wrong", "disabled", "locked"):
        site.add(Role.RATER, name, password=PASSWORD)
    site.add(Role.RATER, "elsewhere")
    admin = site.as_role(Role.ADMIN)
    admin.send("PATCH", f"/api/v1/accounts/{site.made['disabled'].id}", json={"state": "disabled"})
    for number in range(8):
        site.browser(f"10.0.0.{number}").form("/sign-in", {"name": "locked", "password": "x"})
    counting = Counting(site.accounts.passwords._hasher)
    site.accounts.passwords._hasher = counting  # type: ignore[assignment]  # only what is used
    seen, work = [], []
    cases = ("nobody", "wrong", "disabled", "locked", "elsewhere")
    for number, name in enumerate(cases):
        password = "not the password" if name == "wrong" else PASSWORD
        counting.done.clear()
        answer = site.browser(f"10.1.0.{number}").form("/sign-in", {"name": name, "password": password})
        seen.append(shape(answer, name))
        work.append(list(counting.done))
    assert seen == [seen[0]] * 5
    assert seen[0][0] == 401 and "no account has this name and password" in seen[0][1].lower()
    assert work == [["verify m=8,t=1,p=1"]] * 5


def test_a_locked_name_opens_for_its_password_later_or_by_an_admin(site: ConsoleSite) -> None:
    ann = site.add(Role.RATER, "ann", password=PASSWORD)
    for number in range(8):
        site.browser(f"10.0.0.{number}").form("/sign-in", {"name": "ann", "password": "x"})
    assert site.browser("10.0.1.1").sign_in("ann").status_code == 401
    assert site.as_role(Role.ADMIN).post(f"/api/v1/accounts/{ann.id}/unlock").status_code == 204
    assert site.browser("10.0.1.1").sign_in("ann").status_code == 303


def test_a_lock_outlives_a_restart(tmp_path: Path) -> None:
    settings = AccountSettings(lock_failures=3)
    with console_site(tmp_path, settings) as site:
        site.add(Role.RATER, "ann", password=PASSWORD)
        for number in range(3):
            site.browser(f"10.0.0.{number}").form("/sign-in", {"name": "ann", "password": "x"})
    with console_site(tmp_path, settings) as site:
        assert site.browser("10.0.1.1").sign_in("ann").status_code == 401
        site.clock.move(settings.lock_s)
        assert site.browser("10.0.1.1").sign_in("ann").status_code == 303


def test_an_address_that_fails_too_often_waits(site: ConsoleSite) -> None:
    answers = [site.browser().form("/sign-in", {"name": "ann", "password": "x"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 900


def test_guesses_side_by_side_are_no_more_than_one_by_one(site: ConsoleSite) -> None:
    site.add(Role.RATER, "ann", password=PASSWORD)
    browser = Sender("10.0.0.1", "", "")

    async def flood() -> list[Any]:
        guesses = [*(f"guess number {number}" for number in range(20)), PASSWORD]
        asked = (site.accounts.sign_in("ann", guess, browser) for guess in guesses)
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(flood())
    statuses = [answer.status if isinstance(answer, Refused) else 200 for answer in answers]
    assert statuses.count(401) == 5 and statuses.count(429) == 16


def test_a_session_is_new_at_sign_in(site: ConsoleSite) -> None:
    """Fixation: neither a made-up cookie nor another one's session is what somebody is signed in with."""
    site.add(Role.RATER, "ann", password=PASSWORD)
    attacker = site.as_role(Role.RATER, name="eve")
    for planted in ("made-up", attacker.cookie):
        victim = site.browser()
        victim.plant(planted)
        assert victim.form("/sign-in", {"name": "ann", "password": PASSWORD}).status_code == 303
        assert victim.cookie not in ("", planted)
    assert attacker.get("/api/v1/me").status_code == 401, "its session ended with the browser that took it over"


def test_signing_out_ends_the_session_for_good(site: ConsoleSite) -> None:
    browser = site.as_role(Role.RATER)
    kept = browser.cookie
    answer = browser.form("/sign-out")
    assert answer.status_code == 303 and "Max-Age=0" in answer.headers["set-cookie"]
    browser.plant(kept)
    assert browser.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-backstay-csrf": None}, "csrf"),
        ({"x-backstay-csrf": "0" * 64}, "csrf"),
        ({"origin": "https://evil.example"}, "foreign_page"),
        ({"origin": None, "sec-fetch-site": None}, "foreign_page"),
        ({"sec-fetch-site": "cross-site"}, "foreign_page"),
        ({"sec-fetch-site": "same-site"}, "foreign_page"),
    ],
)
def test_what_writes_must_come_from_our_page(site: ConsoleSite, headers: dict[str, str | None], code: str) -> None:
    browser = site.as_role(Role.LEAD)
    body = {"name": "t", "scopes": ["rate"], "holds_s": 3600}
    answer = browser.post("/api/v1/account/tokens", body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)
    assert browser.get("/api/v1/account/tokens").json() == {"tokens": []}
    assert browser.post("/api/v1/account/tokens", body).status_code == 201


def test_the_token_of_another_session_is_none(site: ConsoleSite) -> None:
    ann, eve = site.as_role(Role.LEAD), site.as_role(Role.LEAD)
    mixed = {"x-backstay-csrf": eve.csrf}
    assert (
        ann.post("/api/v1/account/password", {"old": "x", "new": "y"}, headers=mixed).json()["error"]["code"] == "csrf"
    )
    assert ann.form("/account/password", {"form": eve.csrf}).status_code == 403


def test_forms_need_it_too_and_signing_in_needs_our_page(site: ConsoleSite) -> None:
    ann = site.as_role(Role.RATER)
    session = ann.session_id
    for path in (f"/account/sessions/{session}/end", "/sign-out"):
        for given in ("x", "", "\xe9", "0" * 64):
            assert ann.form(path, {"form": given}).status_code == 403
    assert ann.get("/api/v1/me").status_code == 200
    foreign = site.browser().form("/sign-in", {"name": "a", "password": "b"}, origin="https://evil.example")
    assert foreign.status_code == 403


def test_a_bearer_needs_no_csrf_and_wins_over_a_cookie(site: ConsoleSite) -> None:
    lead, rater = site.as_role(Role.LEAD), site.as_role(Role.RATER)
    body = {"name": "t", "scopes": ["own_account"], "holds_s": 3600}
    secret = lead.post("/api/v1/account/tokens", body).json()["token"]
    headers = {"authorization": f"Bearer {secret}", "x-backstay-csrf": None, "origin": None, "sec-fetch-site": None}
    me = rater.get("/api/v1/me", headers=headers).json()
    assert (me["role"], me["via"], me["permissions"]) == ("lead", "token", ["own_account"])
    own = lead.get("/api/v1/account/tokens").json()["tokens"][0]["id"]
    assert rater.send("DELETE", f"/api/v1/account/tokens/{own}", headers=headers).status_code == 204
    again = rater.get("/api/v1/me", headers=headers)
    assert again.status_code == 401, "a token that does not hold is not made up for by the cookie"
    assert again.headers["www-authenticate"].startswith("Bearer")
    basic = rater.get("/api/v1/me", headers={"authorization": "Basic YTpi"})
    assert basic.status_code == 401


def test_only_one_s_own_sessions_and_tokens(site: ConsoleSite) -> None:
    ann, eve = site.as_role(Role.LEAD), site.as_role(Role.LEAD)
    token = ann.post("/api/v1/account/tokens", {"name": "t", "scopes": ["rate"], "holds_s": 3600}).json()["id"]
    theirs = [s["id"] for s in ann.get("/api/v1/account/sessions").json()["sessions"]]
    assert theirs == [ann.session_id]
    for answer in (
        eve.send("DELETE", f"/api/v1/account/sessions/{ann.session_id}"),
        eve.send("DELETE", f"/api/v1/account/tokens/{token}"),
        eve.form(f"/account/sessions/{ann.session_id}/end"),
        eve.form(f"/account/tokens/{token}/revoke"),
    ):
        assert answer.status_code == 404
    assert ann.get("/api/v1/me").status_code == 200
    assert len(ann.get("/api/v1/account/tokens").json()["tokens"]) == 1


def test_nobody_sets_more_than_is_offered(site: ConsoleSite) -> None:
    """Mass assignment: a role, a state or an owner in a body that has no place for it."""
    admin, rater = site.as_role(Role.ADMIN), site.as_role(Role.RATER)
    path = admin.post("/api/v1/invitations", {"role": "rater"}).json()["path"]
    fields = {"name": "mallory", "password": PASSWORD, "again": PASSWORD, "role": "admin", "projects": "", "state": "x"}
    joined = site.browser()
    assert joined.form(path, fields).status_code == 303
    assert joined.get("/api/v1/me").json()["role"] == "rater"
    new = {"name": "t", "scopes": ["rate"], "holds_s": 3600}
    for more in ({"account_id": "x"}, {"role": "admin"}, {"expires_ms": 1}):
        assert rater.post("/api/v1/account/tokens", new | more).status_code == 422
    other = site.add(Role.RATER)
    for body in ({"role": "king"}, {"name": "x"}, {"password": "x"}, {"rater_id": "x"}, {}, {"role": 1}):
        assert admin.send("PATCH", f"/api/v1/accounts/{other.id}", json=body).status_code == 422


def test_an_admin_does_not_change_their_own_role(site: ConsoleSite) -> None:
    site.add(Role.ADMIN, "second")
    admin = site.add(Role.ADMIN, "first")
    answer = site.signed_in(admin).send("PATCH", f"/api/v1/accounts/{admin.id}", json={"role": "lead"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "own_account")


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/%2f%2fevil.example", "/..//evil", "javascript:x",
     "/a\r\nset-cookie: x=y", "/api/v1/account", "/sign-out", "", "evil", "/a//b", "/\tevil"],
)  # fmt: skip
def test_after_signing_in_one_is_on_a_page_of_ours(site: ConsoleSite, wanted: str) -> None:
    site.add(Role.RATER, "ann", password=PASSWORD)
    assert site.browser().sign_in("ann", after=wanted).headers["location"] == "/"


def test_or_on_the_page_that_was_asked_for(site: ConsoleSite) -> None:
    site.add(Role.RATER, "ann", password=PASSWORD)
    asked = site.browser().get("/account")
    assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=/account")
    assert site.browser().sign_in("ann", after="/account").headers["location"] == "/account"


def test_a_hash_of_old_parameters_is_renewed_at_sign_in(site: ConsoleSite) -> None:
    site.add(Role.RATER, "ann")
    old = argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    account = site.made["ann"].id
    site.console.write_now(lambda unit: directory.set_password(unit, account, old))
    assert site.browser().sign_in("ann").status_code == 303
    with site.console.engine.connect() as connection:
        found = directory.find(connection, "ann")
    assert found is not None and f"m={CHEAP.memory_kib},t={CHEAP.passes}," in str(found[1])
    assert site.browser().sign_in("ann").status_code == 303


def test_another_password_signs_other_browsers_out(site: ConsoleSite) -> None:
    site.add(Role.RATER, "ann", password=PASSWORD)
    here, there = site.browser(), site.browser()
    here.sign_in("ann")
    there.sign_in("ann")
    before = here.cookie
    new = "another lamp, under red water"
    wrong = here.post("/api/v1/account/password", {"old": "x", "new": new})
    assert wrong.json()["error"]["code"] == "wrong_password"
    assert here.post("/api/v1/account/password", {"old": PASSWORD, "new": new}).status_code == 204
    assert here.cookie != before and here.get("/api/v1/me").status_code == 200
    assert there.get("/api/v1/me").status_code == 401
    assert site.browser().sign_in("ann").status_code == 401
    assert site.browser().sign_in("ann", new).status_code == 303


def test_the_page_of_the_account_does_all_of_it_without_script(site: ConsoleSite) -> None:
    site.add(Role.LEAD, "ann", password=PASSWORD)
    ann = site.browser()
    ann.sign_in("ann")
    made = ann.form("/account/tokens", {"name": "nightly <b>", "days": "7", "scope.export": "1"})
    assert made.status_code == 200 and "bst_" in made.text and "nightly &lt;b&gt;" in made.text
    assert "bst_" not in ann.get("/account").text
    refused = ann.form("/account/tokens", {"name": "x", "days": "8", "scope.export": "1"})
    assert refused.status_code == 400
    new = "another lamp, under red water"
    differ = ann.form("/account/password", {"old": PASSWORD, "new": new, "again": "y"})
    assert differ.status_code == 400 and "differ" in differ.text
    done = ann.form("/account/password", {"old": PASSWORD, "new": new, "again": new})
    assert done.status_code == 200 and "is changed" in done.text


def test_a_session_gets_a_new_cookie_even_with_an_error(site: ConsoleSite) -> None:
    browser = site.as_role(Role.RATER)
    before = browser.cookie
    site.clock.move(site.accounts.settings.session.rotate_s)
    assert browser.get("/api/v1/audit").status_code == 403
    assert browser.cookie != before
    assert browser.get("/api/v1/me").status_code == 200


def test_a_change_of_role_takes_effect_at_once(site: ConsoleSite) -> None:
    admin, rater = site.as_role(Role.ADMIN), site.add(Role.RATER, "ann")
    browser = site.signed_in(rater)
    before = browser.cookie
    assert admin.send("PATCH", f"/api/v1/accounts/{rater.id}", json={"role": "security"}).status_code == 200
    assert browser.get("/api/v1/audit").status_code == 200
    assert browser.cookie != before
    admin.send("PATCH", f"/api/v1/accounts/{rater.id}", json={"state": "disabled"})
    assert browser.get("/api/v1/audit").status_code == 401


def test_too_many_requests_of_one_principal(tmp_path: Path) -> None:
    with console_site(tmp_path, AccountSettings(api_per_s=0.001, api_burst=3)) as site:
        ann, bob = site.as_role(Role.RATER), site.as_role(Role.RATER)
        answers = [ann.get("/api/v1/me") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert int(answers[3].headers["retry-after"]) > 0
        assert bob.get("/api/v1/me").status_code == 200


def test_cookies_beyond_this_machine(tmp_path: Path) -> None:
    origin = "https://rate.example.org"
    with console_site(tmp_path, host="0.0.0.0", origin=origin) as site:  # noqa: S104  it does not listen
        site.add(Role.RATER, "ann", password=PASSWORD)
        browser = site.browser()
        browser.client.base_url = origin
        headers = {"origin": origin}
        answer = browser.form("/sign-in", {"name": "ann", "password": PASSWORD}, **headers)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-backstay=")
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie


def test_the_first_admin_sets_the_console_up(site: ConsoleSite) -> None:
    secret = asyncio.run(site.accounts.setup_secret())
    browser = site.browser()
    page = browser.get(f"/join/{secret}")
    assert page.status_code == 200 and "Set up the console" in page.text
    weak = browser.form(f"/join/{secret}", {"name": "ada", "password": "password1234", "again": "password1234"})
    assert weak.status_code == 400 and "tried first" in weak.text
    fields = {"name": "ada", "display_name": "Ada", "password": PASSWORD, "again": PASSWORD}
    assert browser.form(f"/join/{secret}", fields).status_code == 303
    assert browser.get("/api/v1/me").json()["role"] == "admin"
    assert site.browser().get(f"/join/{secret}").status_code == 404
    assert asyncio.run(site.accounts.setup_secret()) is None


def test_a_link_for_a_new_password(site: ConsoleSite) -> None:
    ann = site.add(Role.RATER, "ann", password=PASSWORD)
    old = site.signed_in(ann)
    token = old.post("/api/v1/account/tokens", {"name": "t", "scopes": ["rate"], "holds_s": 600}).json()["token"]
    bearer = {"authorization": f"Bearer {token}"}
    admin = site.as_role(Role.ADMIN)
    path = admin.post(f"/api/v1/accounts/{ann.id}/reset-link").json()["path"]
    assert site.browser().get("/api/v1/projects", headers=bearer).status_code == 200
    new = "another lamp, under red water"
    browser = site.browser()
    assert "account ann" in browser.get(path).text
    assert browser.form(path, {"name": "admin", "password": new, "again": new}).status_code == 303
    assert browser.get("/api/v1/me").json()["account_id"] == ann.id
    assert old.get("/api/v1/me").status_code == 401
    assert site.browser().get("/api/v1/projects", headers=bearer).status_code == 401
    assert site.journal("reset_password")[-1]["tokens_revoked"] == 1


def test_what_the_journal_says_of_all_this_holds_no_secret(site: ConsoleSite) -> None:
    admin = site.as_role(Role.ADMIN)
    path = admin.post("/api/v1/invitations", {"role": "rater"}).json()["path"]
    ann = site.browser()
    ann.form(path, {"name": "ann", "password": PASSWORD, "again": PASSWORD})
    ann.read_csrf()
    secret = ann.post("/api/v1/account/tokens", {"name": "t", "scopes": ["rate"], "holds_s": 60}).json()["token"]
    said = str(site.journal())
    for hidden in (path.rpartition("/")[2], PASSWORD, secret, ann.cookie, ann.csrf):
        assert hidden not in said
    assert [act["what"] for act in site.journal()] == ["invite", "join", "sign_in", "make_token"]
    security = site.as_role(Role.SECURITY)
    page = security.get("/api/v1/audit?limit=2&kind=console.account").json()
    assert [act["payload"]["what"] for act in page["acts"]] == ["make_token", "join"]
    rest = security.get(f"/api/v1/audit?limit=2&kind=console.account&after={page['next']}").json()
    assert [act["payload"]["what"] for act in rest["acts"]] == ["invite"] and rest["next"] is None


def test_a_rater_link_from_start_to_code(site: ConsoleSite) -> None:
    add_project(site, "p")
    lead = site.as_role(Role.LEAD)
    order = {"external_ids": ["PID1"], "wanted": 1, "holds_s": 3600, "completion_code": "C0DE"}
    made = lead.post("/api/v1/projects/p/rater-links", order).json()["links"][0]
    assert made["external_id"] == "PID1"
    browser = site.browser()
    for _ in range(3):
        assert "Begin" in browser.get(made["path"]).text, "opening it begins nothing"
    answer = browser.form(made["path"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/rate/p")
    me = browser.get("/api/v1/me").json()
    assert (me["permissions"], me["projects"], me["via"]) == (["rate"], ["p"], "link")
    assert "0 of 1" in browser.get("/link").text
    second = site.browser().form(made["path"])
    assert second.status_code == 409 and "another browser" in second.text
    assert lead.send("DELETE", f"/api/v1/projects/p/rater-links/{made['id']}").status_code == 204
    assert browser.get("/api/v1/me").status_code == 401


def test_no_path_makes_a_fault_of_ours(site: ConsoleSite) -> None:
    """What a scanner sends where ids stand: refused, never a 500."""
    admin = site.as_role(Role.ADMIN)
    for text in ("%00", "%ff", "%2e%2e", "a'--", "%F0%9F%90%98", "x" * 3000, "%ud800"):
        for path in ("accounts", "invitations", "account/sessions", "account/tokens"):
            assert admin.send("DELETE", f"/api/v1/{path}/{text}").status_code in (404, 405, 422)
        for path in ("/join", "/link", "/sign-in/with"):
            assert admin.get(f"{path}/{text}").status_code in (404, 422)
        assert admin.get(f"/api/v1/audit?by={text}").status_code in (200, 422)
    assert site.browser().get("/sign-in", headers={"host": "evil.example"}).status_code == 421
