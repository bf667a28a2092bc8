"""Answers about what people decide, who signs in and how a project goes: each fits openapi.json, and pages join."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from bulk_console import PROJECT
from console_site import Browser
from governance_site import GovernanceSite, governance
from insight_site import insight_site
from openapi_answers import Described

from backstay.feedback.collection import ProjectSettings
from backstay.guard.sealing import Seals
from backstay.web.permissions import Role
from backstay.web.webhooks import hooks

pytestmark = pytest.mark.integration
THREE = ProjectSettings(gold_share=0.0, repeat_share=0.0, votes=2, most_votes=2, prompts_again=1)
LIFE = {"rating", "projects", "imports and exports", "webhooks", "about"}
"""Tags of the operations that test_console_api.py goes through."""


def pages(api: Described, browser: Browser, path: str, name: str) -> list[Any]:
    """All rows, two at a time."""
    found: list[Any] = []
    after = ""
    while True:
        joint = "&" if "?" in path else "?"
        page = api.send(browser, "GET", f"{path}{joint}limit=2{after}", 200)
        assert len(page[name]) <= 2
        found += page[name]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


def whole(api: Described, browser: Browser, path: str, name: str) -> list[Any]:
    """All rows at once; what pages give is the same."""
    joint = "&" if "?" in path else "?"
    found = api.send(browser, "GET", f"{path}{joint}limit=500", 200)
    assert found["next"] is None
    rows: list[Any] = found[name]
    assert pages(api, browser, path, name) == rows
    return rows


def decisions(site: GovernanceSite) -> set[str]:
    """Names of the operations that were asked."""
    api, p = Described(site.site.browser()), "/projects/p"
    reviewer, lead, security = (site.browser(role) for role in (Role.REVIEWER, Role.LEAD, Role.SECURITY))
    drafts = [site.draft(), site.draft()]
    for rater, winner in (("r-ann", 0), ("r-ann", 0), *[("r-ben", 1)] * 4):
        site.judge(rater, winner, spans=[{"slot": 0, "start": 0, "end": 3, "label": "bad"}])
    assert len(whole(api, reviewer, f"{p}/items", "items")) == 4
    disputed = [row["id"] for row in whole(api, reviewer, f"{p}/disputes", "items")]
    assert len(disputed) == 4
    shown = api.send(reviewer, "GET", f"{p}/disputes/{disputed[0]}", 200)
    answers = [{"dimension": "overall", "ranking": [[0], [1]]}]
    verdict = {"json": {"round": shown["round"], "answers": answers, "reason": "It is right."}}
    settled = api.send(reviewer, "POST", f"{p}/disputes/{disputed[0]}/verdict", 201, **verdict)
    assert api.send(reviewer, "POST", f"{p}/disputes/{disputed[0]}/verdict", 200, **verdict)["id"] == settled["id"]
    assert api.send(lead, "GET", f"{p}/items/{disputed[0]}", 200)["history"][-1]["said"][0]["spans"]
    assert "purpose" not in api.send(site.browser(Role.ADMIN), "GET", f"{p}/items/{disputed[0]}", 200)["history"][0]
    api.send(reviewer, "POST", f"{p}/items/{disputed[0]}/dispute", 200, json={"reason": "Once more."})
    assert [row["id"] for row in whole(api, reviewer, f"{p}/drafts", "drafts")] == drafts
    api.send(reviewer, "GET", f"{p}/drafts/{drafts[0]}", 200)
    api.send(reviewer, "POST", f"{p}/drafts/{drafts[0]}/accept", 200)
    api.send(reviewer, "POST", f"{p}/drafts/{drafts[1]}/refuse", 200, json={"reason": "No better."})
    _propose(api, site, reviewer, lead, security)
    return api.seen


def _propose(api: Described, site: GovernanceSite, reviewer: Browser, lead: Browser, security: Browser) -> None:
    gold = whole(api, lead, "/projects/p/gold", "gold")
    assert len(gold) == 3
    change = {"dimension": "overall", "step": "retire", "reason": "Told in a forum."}
    made = [
        api.send(reviewer, "POST", "/projects/p/gold/proposals", 201, json=change | {"item": row["item"]})["id"]
        for row in gold
    ]
    assert [row["id"] for row in whole(api, lead, "/proposals", "proposals")] == made[::-1]
    why = {"json": {"reason": "Seen it."}}
    assert api.send(lead, "GET", f"/proposals/{made[0]}", 200)["now"]["state"] == "active"
    api.send(security, "POST", f"/proposals/{made[0]}/confirm", 200, **why)
    api.send(security, "POST", f"/proposals/{made[1]}/refuse", 200, **why)
    api.send(reviewer, "POST", f"/proposals/{made[2]}/withdraw", 200)
    assert len(whole(api, lead, "/proposals?state=decided", "proposals")) == 3
    (retired,) = [row for row in whole(api, lead, "/projects/p/gold", "gold") if row["state"] == "retired"]
    assert (retired["item"], retired["why"]) == (gold[0]["item"], "Told in a forum.")
    pair = site.quarantine()
    assert [row["id"] for row in whole(api, lead, "/quarantine", "pairs")] == [pair.id]
    release = api.send(lead, "POST", f"/quarantine/{pair.id}/proposals", 201, **why)
    assert "now" not in api.send(security, "GET", f"/proposals/{release['id']}", 200)
    api.send(security, "POST", f"/proposals/{release['id']}/confirm", 200, **why)
    acts = whole(api, security, "/audit", "acts")
    assert [act["seq"] for act in acts] == sorted((act["seq"] for act in acts), reverse=True)
    assert api.send(security, "GET", "/audit/verify", 200) == {"walk": None}
    api.send(security, "POST", "/audit/verify", 202)
    for _ in range(2000):
        if api.send(security, "GET", "/audit/verify", 200)["walk"]["ended_at"]:
            break


def accounts_and_links(site: GovernanceSite) -> set[str]:
    """Names of the operations that were asked."""
    api, admin, lead = Described(site.site.browser()), site.browser(Role.ADMIN), site.browser(Role.LEAD)
    names = [row["name"] for row in whole(api, admin, "/accounts", "accounts")]
    assert names == sorted(names) and len(names) == 8
    ann = site.people[Role.RATER].id
    api.send(admin, "GET", f"/accounts/{ann}", 200)
    api.send(admin, "PATCH", f"/accounts/{ann}", 200, json={"projects": ["p"]})
    api.send(admin, "POST", f"/accounts/{ann}/unlock", 204)
    api.send(admin, "POST", f"/accounts/{ann}/reset-link", 201)
    rater = site.browser(Role.RATER)
    new = {"name": "script", "scopes": ["rate"], "holds_s": 3600}
    tokens = [api.send(rater, "POST", "/account/tokens", 201, json=new)["id"] for _ in range(2)]
    assert len(api.send(rater, "GET", "/account/tokens", 200)["tokens"]) == 2
    api.send(admin, "GET", f"/accounts/{ann}/tokens", 200)
    api.send(admin, "DELETE", f"/accounts/{ann}/tokens/{tokens[0]}", 204)
    api.send(rater, "DELETE", f"/account/tokens/{tokens[1]}", 204)
    (session,) = api.send(rater, "GET", "/account/sessions", 200)["sessions"]
    api.send(rater, "POST", "/account/password", 403, json={"old": "x", "new": "a lamp under green water"})
    api.send(rater, "DELETE", f"/account/sessions/{session['id']}", 204)
    invited = api.send(admin, "POST", "/invitations", 201, json={"role": "rater"})
    assert len(api.send(admin, "GET", "/invitations", 200)["invitations"]) == 2
    api.send(admin, "DELETE", f"/invitations/{invited['id']}", 204)
    order = {"external_ids": [f"PID{n}" for n in range(5)], "wanted": 1, "holds_s": 3600}
    links = api.send(lead, "POST", "/projects/p/rater-links", 201, json=order)["links"]
    assert {row["id"] for row in whole(api, lead, "/projects/p/rater-links", "links")} == {row["id"] for row in links}
    api.send(lead, "DELETE", f"/projects/p/rater-links/{links[0]['id']}", 204)
    return api.seen


def insight(folder: Path) -> set[str]:
    """Names of the operations that were asked."""
    with insight_site(folder, judgments=300, raters=20) as site:
        api, lead, p = Described(site.browser()), site.as_role(Role.LEAD), f"/projects/{PROJECT}"
        for path in ("overview", "agreement", "forecast", "trust", "cohorts"):
            api.send(lead, "GET", f"{p}/{path}", 200)
        for path in ("agreement", "raters", "cohorts"):
            api.send(lead, "GET", f"{p}/{path}?format=csv", 200)
        assert len(whole(api, lead, f"{p}/raters?sort=name", "raters")) == 20
        asyncio.run(_aggregated(site))
        assert [run["state"] for run in api.send(lead, "GET", f"{p}/trust", 200)["runs"]] == ["done"]
        assert api.send(lead, "GET", f"{p}/cohorts", 200)["cohorts"][0]["groups"]
        assert api.send(lead, "GET", f"{p}/raters/r-00004", 200)["alarms"]
        _pause(api, site, lead, p)
        api.send(lead, "POST", f"{p}/trust", 202)
        return api.seen


async def _aggregated(site: Any) -> None:
    trust = site.app.state.insight.trust
    await trust.start(PROJECT, "lead")
    await trust.wait()


def _pause(api: Described, site: Any, lead: Browser, p: str) -> None:
    """Each change of status that ends a rater's work is told to webhooks, from the API and from the page."""
    seals = Seals(site.console.ledger, hooks.PURPOSE)
    url = "https://hooks.example.org/x"
    site.console.write_now(lambda unit: hooks.make(unit, seals, "admin", url, ("rater.paused",), ""))
    status = f"{p}/raters/r-00004/status"
    for wanted in ("paused", "active", "requalify"):
        api.send(lead, "POST", status, 200, json={"status": wanted, "reason": f"Now {wanted}."})
    page = f"/lead/{PROJECT}/raters/r-00004/status"
    assert lead.form(page, {"status": "paused", "reason": "By the page."}).status_code == 303
    with site.console.engine.connect() as connection:
        bodies = connection.exec_driver_sql("SELECT body FROM webhook_deliveries ORDER BY id").scalars().all()
    told = [json.loads(body) for body in bodies]
    assert {body["type"] for body in told} == {"rater.paused"}
    about = {"project": PROJECT, "rater": "r-00004"}
    assert [body["data"] for body in told] == [about | {"status": s} for s in ("paused", "requalify", "paused")]


def test_every_answer_of_every_operation_is_as_described(tmp_path: Path) -> None:
    with governance(tmp_path / "site", prompts=4, gold=3, settings=THREE) as site:
        asked = decisions(site) | accounts_and_links(site)
        operations = Described(site.site.browser()).operations
    asked |= insight(tmp_path / "insight")
    assert {name for name, found in operations.items() if not LIFE & set(found["tags"])} - asked == set()
