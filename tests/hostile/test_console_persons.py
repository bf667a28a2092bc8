"""Ways around "not on one's own work": tokens with fewer scopes, another role, and looking before answering."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console_site import Browser
from governance_site import GovernanceSite, governance

from backstay.web.permissions import Role


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GovernanceSite]:
    with governance(tmp_path, prompts=4) as found:
        yield found


class Bearer:
    """A program with an API token of somebody's."""

    def __init__(self, browser: Browser, *scopes: str) -> None:
        made = browser.post("/api/v1/account/tokens", {"name": "t", "scopes": list(scopes), "holds_s": 3600})
        self._program = browser.site.browser()
        self._headers = {"authorization": f"Bearer {made.json()['token']}"}

    def send(self, method: str, path: str, **given: Any) -> Any:
        return self._program.send(method, path, headers=self._headers, **given)


def test_a_token_without_rate_reviews_no_draft_of_its_owner(world: GovernanceSite) -> None:
    draft = world.draft(world.rater(Role.LEAD))
    token = Bearer(world.browser(Role.LEAD), "review")
    answer = token.send("POST", f"/api/v1/projects/p/drafts/{draft}/accept")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "own_item")
    assert world.repository.demonstrations("d") == []


def test_a_token_without_rate_settles_no_dispute_that_its_owner_rated(world: GovernanceSite) -> None:
    for rater, winner in ((world.rater(Role.LEAD), 0), ("r-ben", 1)):
        for _ in range(4):
            world.judge(rater, winner)
    token = Bearer(world.browser(Role.LEAD), "review", "read_project")
    rows = token.send("GET", "/api/v1/projects/p/disputes").json()["items"]
    assert [row["may_decide"] for row in rows] == [False] * 4
    assert token.send("GET", f"/api/v1/projects/p/disputes/{rows[0]['id']}").status_code == 409


@pytest.mark.parametrize("way", ["token", "role"])
def test_nobody_confirms_gold_of_an_item_that_they_rated(world: GovernanceSite, way: str) -> None:
    item = world.judge(world.rater(Role.LEAD), 0).item_id
    change = {"item": item, "step": "set", "best": 0, "reason": "The answer is known."}
    proposal = world.browser(Role.REVIEWER).post("/api/v1/projects/p/gold/proposals", change).json()["id"]
    lead = world.people[Role.LEAD]
    if way == "role":
        admin = world.browser(Role.ADMIN)
        assert admin.send("PATCH", f"/api/v1/accounts/{lead.id}", json={"role": "security"}).status_code == 200
    token = Bearer(world.browser(Role.LEAD), "confirm")
    answer = token.send("POST", f"/api/v1/proposals/{proposal}/confirm", json={"reason": "I saw it too."})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "own_item")


def test_who_is_asked_about_an_item_sees_neither_its_votes_nor_its_gold(world: GovernanceSite) -> None:
    voted = world.judge("r-ann", 0).item_id
    reviewer = world.browser(Role.REVIEWER)
    path = f"/api/v1/projects/p/items/{voted}"
    assert reviewer.get(path).json()["counts"] == {"overall": {"0>1": 1}}
    asked = reviewer.post("/api/v1/projects/p/assignments").json()["assignment"]
    with world.site.console.engine.connect() as connection:
        query = "UPDATE assignments SET item_id = ? WHERE id = ?"
        connection.exec_driver_sql(query, (voted, asked["id"]))
        connection.commit()
    shown = reviewer.get(path).json()
    assert (shown["blind"], shown["counts"], shown["history"], shown["gold"]) == (True, {}, [], {})
    page = reviewer.get(f"/lead/p/items/{voted}").text
    assert "You are being asked about this item" in page
    assert "r-ann" not in page
