"""Signing in at another service, with a provider on this machine that is honest, broken or hostile."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from console_site import ORIGIN, Browser, ConsoleSite, console_site
from oidc_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    OidcProviderSite,
    by_another_key,
    by_public_key,
    oidc_provider,
    rsa_key,
    unsigned,
)

from backstay.web.accounts import invitations
from backstay.web.accounts.settings import AccountSettings, OidcProvider
from backstay.web.permissions import Role

pytestmark = pytest.mark.integration
BACK = "/sign-in/with/work/callback"


def settings_of(provider: OidcProviderSite, **more: Any) -> AccountSettings:
    one = OidcProvider(
        title="Work account", issuer=provider.url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, **more
    )
    return AccountSettings(oidc={"work": one, "other": one})


@pytest.fixture
def provider() -> Iterator[OidcProviderSite]:
    with oidc_provider() as opened:
        yield opened


@pytest.fixture
def site(tmp_path: Path, provider: OidcProviderSite) -> Iterator[ConsoleSite]:
    settings = settings_of(provider, allowed_domains=("example.org",))
    with console_site(tmp_path, settings, origin=ORIGIN) as opened:
        provider.now_s = lambda: opened.clock.now_ms // 1000
        yield opened


def go(browser: Browser, path: str = "/sign-in/with/work") -> str:
    """Where the button leads to."""
    answer = browser.get(path)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def sign_in(site: ConsoleSite, provider: OidcProviderSite, subject: str = "s1", **claims: Any) -> tuple[Browser, Any]:
    browser = site.browser()
    answer = provider.consent(go(browser), subject, **claims)
    return browser, browser.get(BACK, params=answer)


VERIFIED: dict[str, Any] = {"email": "Ann@Example.org", "email_verified": True, "name": "Ann"}


def test_the_request_has_state_nonce_and_pkce(site: ConsoleSite, provider: OidcProviderSite) -> None:
    one, two = (parse_qs(urlsplit(go(site.browser())).query) for _ in range(2))
    assert one["response_type"] == ["code"] and one["code_challenge_method"] == ["S256"]
    assert one["redirect_uri"] == [f"{ORIGIN}{BACK}"]
    for name in ("state", "nonce", "code_challenge"):
        assert one[name] != two[name] and len(one[name][0]) == 43


def test_a_verified_address_of_an_allowed_domain_makes_a_rater(site: ConsoleSite, provider: OidcProviderSite) -> None:
    browser, answer = sign_in(site, provider, **VERIFIED)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    me = browser.get("/api/v1/me").json()
    assert (me["role"], me["name"]) == ("rater", "Ann")
    assert [act["what"] for act in site.journal()] == ["sign_up", "sign_in"]
    again, _ = sign_in(site, provider, **VERIFIED)
    assert again.get("/api/v1/me").json()["account_id"] == me["account_id"]


@pytest.mark.parametrize(
    "claims",
    [
        {},
        VERIFIED | {"email_verified": False},
        VERIFIED | {"email_verified": "true"},
        VERIFIED | {"email": "ann@example.org.evil.example"},
        VERIFIED | {"email": "ann@evil.example"},
        {"email": "ann@example.org"},
    ],
)
def test_others_get_no_account(site: ConsoleSite, provider: OidcProviderSite, claims: dict[str, Any]) -> None:
    browser, answer = sign_in(site, provider, **claims)
    assert answer.status_code == 403 and "no account here" in answer.text
    assert not browser.cookie


def test_an_account_is_never_found_by_its_address(site: ConsoleSite, provider: OidcProviderSite) -> None:
    admin = site.add(Role.ADMIN, "ann@example.org")
    browser, _ = sign_in(site, provider, **VERIFIED)
    me = browser.get("/api/v1/me").json()
    assert me["account_id"] != admin.id and me["role"] == "rater"


def test_another_subject_is_somebody_else(site: ConsoleSite, provider: OidcProviderSite) -> None:
    ids = {sign_in(site, provider, s, **VERIFIED)[0].get("/api/v1/me").json()["account_id"] for s in ("s1", "s2")}
    assert len(ids) == 2


def test_by_invitation(site: ConsoleSite, provider: OidcProviderSite) -> None:
    admin = site.as_role(Role.ADMIN)
    path = admin.post("/api/v1/invitations", {"role": "reviewer"}).json()["path"]
    browser = site.browser()
    assert f"{path}/with/work" in browser.get(path).text
    answer = browser.get(BACK, params=provider.consent(go(browser, f"{path}/with/work"), "s9"))
    assert answer.status_code == 303
    assert browser.get("/api/v1/me").json()["role"] == "reviewer"
    assert site.browser().get(path).status_code == 404, "the invitation is used"


def test_whoever_is_disabled_stays_out(site: ConsoleSite, provider: OidcProviderSite) -> None:
    browser, _ = sign_in(site, provider, **VERIFIED)
    account = browser.get("/api/v1/me").json()["account_id"]
    admin = site.as_role(Role.ADMIN)
    assert admin.send("PATCH", f"/api/v1/accounts/{account}", json={"state": "disabled"}).status_code == 200
    assert browser.get("/api/v1/me").status_code == 401
    assert sign_in(site, provider, **VERIFIED)[1].status_code == 403


BAD_CLAIMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "another audience": lambda c: c | {"aud": "another-client"},
    "several audiences without azp": lambda c: c | {"aud": [CLIENT_ID, "another-client"]},
    "authorised party": lambda c: c | {"azp": "another-client"},
    "issuer": lambda c: c | {"iss": "https://evil.example"},
    "issuer with a slash": lambda c: c | {"iss": c["iss"] + "/"},
    "expired": lambda c: c | {"exp": c["iat"] - 61},
    "old": lambda c: c | {"iat": c["iat"] - 601},
    "of the future": lambda c: c | {"iat": c["iat"] + 61},
    "not yet": lambda c: c | {"nbf": c["iat"] + 61},
    "no end": lambda c: {k: v for k, v in c.items() if k != "exp"},
    "an end that is no number": lambda c: c | {"exp": float("nan")},
    "no nonce": lambda c: {k: v for k, v in c.items() if k != "nonce"},
    "another nonce": lambda c: c | {"nonce": "x" * 43},
    "no subject": lambda c: {k: v for k, v in c.items() if k != "sub"},
    "a subject that is a number": lambda c: c | {"sub": 7},
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_a_claim_that_does_not_hold(site: ConsoleSite, provider: OidcProviderSite, name: str) -> None:
    provider.claims = BAD_CLAIMS[name]
    browser, answer = sign_in(site, provider, **VERIFIED)
    assert answer.status_code == 403 and "not accepted" in answer.text
    assert not browser.cookie


def test_clocks_may_differ_by_a_minute(site: ConsoleSite, provider: OidcProviderSite) -> None:
    provider.claims = lambda c: c | {"iat": c["iat"] + 60, "exp": c["iat"] + 300}
    assert sign_in(site, provider, **VERIFIED)[1].status_code == 303


@pytest.mark.parametrize("sign", [unsigned, by_public_key, by_another_key])
def test_a_signature_that_does_not_hold(site: ConsoleSite, provider: OidcProviderSite, sign: Any) -> None:
    provider.sign = sign
    browser, answer = sign_in(site, provider, **VERIFIED)
    assert answer.status_code == 403 and not browser.cookie


def test_new_keys_are_found_and_a_flood_of_unknown_ones_is_not(site: ConsoleSite, provider: OidcProviderSite) -> None:
    assert sign_in(site, provider, **VERIFIED)[1].status_code == 303
    assert provider.key_fetches == 1
    keys = site.accounts.oidc.providers["work"]
    provider.keys = [rsa_key("second")]
    now = [keys._clock_s() + 31]
    keys._clock_s = lambda: now[0]
    assert sign_in(site, provider, **VERIFIED)[1].status_code == 303
    assert provider.key_fetches == 2
    provider.sign = by_another_key
    for _ in range(3):
        assert sign_in(site, provider, **VERIFIED)[1].status_code == 403
    assert provider.key_fetches == 2


def test_a_state_is_good_once_and_in_the_browser_that_began(site: ConsoleSite, provider: OidcProviderSite) -> None:
    browser = site.browser()
    answer = provider.consent(go(browser), "s1", **VERIFIED)
    victim = site.browser()
    assert victim.get(BACK, params=answer).status_code == 400, "an answer that an attacker has begun"
    assert not victim.cookie
    assert browser.get(BACK, params=answer).status_code == 303
    assert browser.get(BACK, params=answer).status_code == 400


def test_a_state_ends(site: ConsoleSite, provider: OidcProviderSite) -> None:
    browser = site.browser()
    answer = provider.consent(go(browser), "s1", **VERIFIED)
    site.clock.move(600)
    assert browser.get(BACK, params=answer).status_code == 400


def test_an_answer_of_another_provider_is_refused(site: ConsoleSite, provider: OidcProviderSite) -> None:
    """Mix-up: the browser began at one provider, and comes back at the address of another, or names its issuer."""
    browser = site.browser()
    answer = provider.consent(go(browser), "s1", **VERIFIED)
    assert browser.get("/sign-in/with/other/callback", params=answer).status_code == 400
    for issuer, status in (("https://evil.example", 400), (provider.url, 303)):
        browser = site.browser()
        answer = provider.consent(go(browser), "s1", **VERIFIED) | {"iss": issuer}
        assert browser.get(BACK, params=answer).status_code == status


def test_a_provider_that_names_its_issuer_must(tmp_path: Path, provider: OidcProviderSite) -> None:
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    with console_site(tmp_path, settings_of(provider), origin=ORIGIN) as site:
        browser = site.browser()
        assert browser.get(BACK, params=provider.consent(go(browser), "s1")).status_code == 400


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
    ],
)
def test_metadata_that_lead_elsewhere(tmp_path: Path, provider: OidcProviderSite, metadata: dict[str, Any]) -> None:
    provider.metadata = metadata
    with console_site(tmp_path, settings_of(provider), origin=ORIGIN) as site:
        assert site.browser().get("/sign-in/with/work").status_code == 503


def test_a_provider_that_is_down(site: ConsoleSite, provider: OidcProviderSite) -> None:
    provider.status = 500
    answer = site.browser().get("/sign-in/with/work")
    assert answer.status_code == 503 and "cannot be used" in answer.text


def test_another_site_cannot_begin_it(site: ConsoleSite) -> None:
    answer = site.browser().get("/sign-in/with/work", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


def test_where_it_leads_afterwards_is_ours(site: ConsoleSite, provider: OidcProviderSite) -> None:
    for wanted, got in (("/account", "/account"), ("//evil.example", "/"), ("https://evil.example/", "/")):
        browser = site.browser()
        answer = provider.consent(go(browser, f"/sign-in/with/work?next={wanted}"), "s1", **VERIFIED)
        assert browser.get(BACK, params=answer).headers["location"] == got


def test_a_role_by_claim_and_never_admin(tmp_path: Path, provider: OidcProviderSite) -> None:
    more: dict[str, Any] = {
        "allowed_domains": ("example.org",),
        "role_claim": "groups",
        "roles": {"leads": Role.LEAD, "reviewers": Role.REVIEWER},
    }
    with console_site(tmp_path, settings_of(provider, **more), origin=ORIGIN) as site:
        provider.now_s = lambda: site.clock.now_ms // 1000
        cases = ((["reviewers", "x"], "reviewer"), ("leads", "lead"), (["admin"], "rater"), ({"a": 1}, "rater"))
        for number, (groups, role) in enumerate(cases):
            browser, _ = sign_in(site, provider, f"s{number}", **VERIFIED, groups=groups)
            assert browser.get("/api/v1/me").json()["role"] == role
    with pytest.raises(ValueError, match="may_make_admins"):
        settings_of(provider, role_claim="groups", roles={"root": Role.ADMIN})


def test_the_setup_link_needs_no_password_there(site: ConsoleSite, provider: OidcProviderSite) -> None:
    secret = site.console.write_now(invitations.setup)
    browser = site.browser()
    browser.get(BACK, params=provider.consent(go(browser, f"/join/{secret}/with/work"), "root"))
    assert browser.get("/api/v1/me").json()["role"] == "admin"
