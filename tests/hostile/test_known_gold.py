"""Who sees gold gets no trust by it: they are asked none, in whatever way they rate."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from console_site import Browser
from governance_site import GovernanceSite, governance

from backstay.web.permissions import Role

ASK = "/api/v1/projects/p/assignments"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[GovernanceSite]:
    with governance(tmp_path, prompts=3, gold=3) as found:
        yield found


def by_token(browser: Browser) -> dict[str, str]:
    """A token that may rate and nothing else."""
    made = browser.post("/api/v1/account/tokens", {"name": "t", "scopes": ["rate"], "holds_s": 600})
    return {"authorization": f"Bearer {made.json()['token']}"}


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.LEAD])
def test_neither_in_a_session_nor_by_a_token_of_less(site: GovernanceSite, role: Role) -> None:
    browser = site.browser(role)
    answers = [browser.post(ASK), site.site.browser().post(ASK, headers=by_token(browser))]
    assert [(answer.status_code, answer.json()["assignment"]) for answer in answers] == [(200, None)] * 2
    assert "tasks wait" not in browser.get("/rate").text
    assert browser.get("/api/v1/projects/p/gold").status_code == 200


def test_a_rater_is_asked_all_of_it(site: GovernanceSite) -> None:
    rater = site.browser(Role.RATER)
    assert "3 tasks wait" in rater.get("/rate").text
    assert rater.post(ASK).json()["assignment"] is not None
    assert rater.get("/api/v1/projects/p/gold").status_code == 403
