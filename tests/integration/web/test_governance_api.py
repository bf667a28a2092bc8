"""What people decide, over the API: as each role, sent twice, by two at once, and without leaking what is hidden."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from governance_site import GovernanceSite, governance

from backstay.feedback.collection import ProjectSettings
from backstay.storage.journal import read_entries
from backstay.web.permissions import Role

pytestmark = pytest.mark.integration
P = "/api/v1/projects/p"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[GovernanceSite]:
    with governance(tmp_path) as made:
        yield made


def kinds(site: GovernanceSite, kind: str) -> list[dict[str, Any]]:
    with site.site.console.engine.connect() as connection:
        return [json.loads(entry.payload) for entry in read_entries(connection, kind)]


def prefer(dispute: dict[str, Any], text: str) -> list[dict[str, Any]]:
    """The answers that prefer the response of this text."""
    slot = next(row["slot"] for row in dispute["responses"] if row["text"].startswith(text))
    return [{"dimension": name, "ranking": [[slot], [1 - slot]]} for name in dispute["dimensions"]]


def test_a_reviewer_decides_blind_and_then_sees_the_votes(site: GovernanceSite) -> None:
    item, other = site.dispute()
    browser = site.browser(Role.REVIEWER)
    listed = browser.get(f"{P}/disputes").json()
    assert listed["waiting"] == 2 and listed["items"][0] == {"id": item, "votes": 2, "may_decide": True}
    blind = browser.get(f"{P}/disputes/{item}")
    assert all(hidden not in blind.text for hidden in ("r-ann", "calmer", "ranking", "belief"))
    looked = browser.get(f"{P}/items/{item}").json()
    assert looked["blind"] and looked["history"] == [] and looked["counts"] == {}
    body = {"round": 0, "answers": prefer(blind.json(), "Answer 1"), "reason": "It is right."}
    settled = browser.post(f"{P}/disputes/{item}/verdict", body)
    assert settled.status_code == 201 and settled.json()["next"] == other
    told = settled.json()
    assert {row["rater"] for row in told["history"]} == {"r-ann", "r-ben"} and "calmer" in settled.text
    assert told["adjudications"][0]["label"] == "B > A" and told["state"] == "settled"
    assert browser.post(f"{P}/disputes/{item}/verdict", body).status_code == 200
    assert len(kinds(site, "console.adjudication")) == 1
    (audit,) = site.repository.audits("d")
    assert audit.winner == told["response_ids"][1]


def test_two_reviewers_at_once_give_one_verdict(site: GovernanceSite) -> None:
    item = site.dispute()[0]
    browsers = [site.browser(Role.REVIEWER), site.browser(Role.REVIEWER, second=True)]
    bodies = [
        {"round": 0, "answers": prefer(b.get(f"{P}/disputes/{item}").json(), "Answer 0"), "reason": "Mine."}
        for b in browsers
    ]
    answers = [b.post(f"{P}/disputes/{item}/verdict", body) for b, body in zip(browsers, bodies, strict=True)]
    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[1].json()["error"]["code"] == "conflict"
    assert len(kinds(site, "console.adjudication")) == 1


def test_a_reviewer_who_rated_the_item_is_refused(site: GovernanceSite) -> None:
    item = site.judge(site.rater(Role.REVIEWER), 0).item_id
    site.judge("r-ann", 1)
    site.judge("r-ann", 1)
    browser = site.browser(Role.REVIEWER)
    refused = browser.get(f"{P}/disputes/{item}")
    assert refused.status_code == 409 and refused.json()["error"]["code"] == "own_item"
    assert not browser.get(f"{P}/items/{item}").json()["blind"]


@pytest.mark.parametrize("bad", [
    {"round": -1, "answers": [], "reason": "x"},
    {"round": 0, "answers": [{"dimension": "overall", "ranking": [[0], [1]]}], "reason": ""},
    {"round": 0, "answers": [{"dimension": "overall", "ranking": [[0], [1]]}], "reason": "a\x00b"},
    {"round": 0, "answers": [{"dimension": "overall", "ranking": [[0], [1]]}], "reason": "x", "person": "somebody"},
    {"round": 0, "answers": [{"dimension": "overall", "ranking": [[0], [9]]}], "reason": "x"},
])  # fmt: skip
def test_a_verdict_that_does_not_fit_is_told(site: GovernanceSite, bad: dict[str, Any]) -> None:
    item = site.dispute()[0]
    answer = site.browser(Role.REVIEWER).post(f"{P}/disputes/{item}/verdict", bad)
    assert answer.status_code == 422 and answer.json()["error"]["message"]
    assert site.repository.audits("d") == []


def test_a_draft_is_accepted_once_by_a_reviewer(site: GovernanceSite) -> None:
    draft = site.draft()
    browser = site.browser(Role.REVIEWER)
    shown = browser.get(f"{P}/drafts/{draft}").json()
    assert {piece["kind"] for piece in shown["changes"]} >= {"same", "new"} and shown["may_review"]
    for _ in range(2):
        assert browser.post(f"{P}/drafts/{draft}/accept").status_code == 200
    (demonstration,) = site.repository.demonstrations("d")
    assert demonstration.text == shown["text"]
    again = site.browser(Role.REVIEWER, second=True).post(f"{P}/drafts/{draft}/refuse", {"reason": "no"})
    assert again.status_code == 409 and len(kinds(site, "console.draft_review")) == 1


def test_a_reviewers_own_draft_is_for_another(site: GovernanceSite) -> None:
    draft = site.draft(site.rater(Role.REVIEWER))
    refused = site.browser(Role.REVIEWER).post(f"{P}/drafts/{draft}/accept")
    assert refused.status_code == 409 and refused.json()["error"]["code"] == "own_item"
    assert site.browser(Role.REVIEWER, second=True).post(f"{P}/drafts/{draft}/accept").status_code == 200


def propose_gold(site: GovernanceSite, role: Role = Role.REVIEWER, best: int = 1) -> str:
    with site.site.console.engine.connect() as connection:
        item = connection.exec_driver_sql("SELECT id FROM items ORDER BY id LIMIT 1").scalar()
    body = {"item": item, "dimension": "overall", "step": "set", "best": best, "reason": "beyond doubt"}
    answer = site.browser(role).post(f"{P}/gold/proposals", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_gold_takes_two_people_whatever_their_roles(site: GovernanceSite) -> None:
    proposal = f"/api/v1/proposals/{propose_gold(site, Role.LEAD)}"
    why = {"reason": "I read both"}
    alone = site.browser(Role.LEAD).post(f"{proposal}/confirm", why)
    assert alone.status_code == 409 and alone.json()["error"]["code"] == "two_persons"
    assert site.browser(Role.REVIEWER).post(f"{proposal}/confirm", why).status_code == 403
    assert all(task.gold is None for task in site.repository.tasks("d"))
    first = site.browser(Role.SECURITY).post(f"{proposal}/confirm", why)
    second = site.browser(Role.LEAD, second=True).post(f"{proposal}/confirm", why)
    assert (first.status_code, second.status_code) == (200, 409)
    assert site.browser(Role.SECURITY).post(f"{proposal}/confirm", why).status_code == 200
    assert [task.gold for task in site.repository.tasks("d") if task.gold is not None] == [1]
    assert len(kinds(site, "console.gold")) == 1


def test_who_rated_the_item_does_not_confirm_its_gold(site: GovernanceSite) -> None:
    for _ in range(2):
        site.judge(site.rater(Role.LEAD), 0)
    answer = site.browser(Role.LEAD).post(f"/api/v1/proposals/{propose_gold(site)}/confirm", {"reason": "yes"})
    assert answer.status_code == 409 and answer.json()["error"]["code"] == "own_item"


def test_a_proposal_is_told_with_texts_and_both_values(site: GovernanceSite) -> None:
    told = site.browser(Role.SECURITY).get(f"/api/v1/proposals/{propose_gold(site)}").json()
    assert told["change"]["before"] is None and told["change"]["best"] == 1 and told["now"] is None
    assert [row["text"][:8] for row in told["responses"]] == ["Answer 0", "Answer 1"] and not told["own"]


def test_raters_are_shown_nothing_of_gold(tmp_path: Path) -> None:
    """A task that is gold and one that is not differ in what identifies and holds them, in nothing else."""
    shown = []
    for name, gold in (("gold", 1), ("none", 0)):
        settings = ProjectSettings(gold_share=0.5, repeat_share=0.0, votes=1, most_votes=1)
        with governance(tmp_path / name, prompts=1, gold=gold, settings=settings) as site:
            site.site.console.secret = bytes(16)
            answer = site.browser(Role.RATER).post(f"{P}/assignments")
            assert answer.status_code == 200
            shown.append((answer.json()["assignment"], set(answer.headers)))
    (with_gold, headers), (without, others) = shown
    assert list(with_gold) == list(without) and headers == others
    varying = {"id", "responses"}
    assert {k: v for k, v in with_gold.items() if k not in varying} == {
        k: v for k, v in without.items() if k not in varying
    }


def test_admins_see_items_without_what_would_tell_gold(tmp_path: Path) -> None:
    with governance(tmp_path, prompts=1, gold=1) as site:
        found = site.judge("r-ann", 0)
        admin = site.browser(Role.ADMIN).get(f"{P}/items/{found.item_id}").json()
        lead = site.browser(Role.LEAD).get(f"{P}/items/{found.item_id}").json()
    assert admin["gold"] == {} and "purpose" not in admin["history"][0]
    assert lead["gold"] == {"overall": {"best": 0, "state": "active"}} and lead["history"][0]["purpose"] == "vote"


def test_one_person_cannot_release_and_two_can(site: GovernanceSite) -> None:
    pair = site.quarantine()
    lead = site.browser(Role.LEAD)
    listed = lead.get("/api/v1/quarantine").json()
    assert listed["total"] == 1 and [row["id"] for row in listed["pairs"]] == [pair.id]
    assert listed["pairs"][0]["findings"][0]["kind"] == "danger"
    made = lead.post(f"/api/v1/quarantine/{pair.id}/proposals", {"reason": "harmless"})
    path = f"/api/v1/proposals/{made.json()['id']}"
    assert lead.post(f"{path}/confirm", {"reason": "me again"}).status_code == 409
    assert site.repository.reviews() == []
    assert site.browser(Role.SECURITY).post(f"{path}/confirm", {"reason": "read it"}).status_code == 200
    (review,) = site.repository.reviews()
    people = (site.people[Role.LEAD].id, site.people[Role.SECURITY].id)
    assert review.item_id == pair.id and review.reviewer == " and ".join(people)
    assert lead.post("/api/v1/quarantine/pair-1/proposals", {"reason": "it passed"}).status_code == 404


def test_a_project_that_is_not_theirs_is_not_there(site: GovernanceSite) -> None:
    proposal = propose_gold(site)
    site.quarantine()
    stranger = site.site.signed_in(site.site.add(Role.LEAD, "stranger", projects=["q"]))
    assert stranger.get(f"{P}/disputes").status_code == 404
    assert stranger.get(f"/api/v1/proposals/{proposal}").status_code == 404
    assert stranger.post(f"/api/v1/proposals/{proposal}/confirm", {"reason": "x"}).status_code == 404
    assert stranger.get("/api/v1/proposals").json() == {"proposals": [], "next": None}
    assert stranger.get("/api/v1/quarantine").json()["pairs"] == []


ROUTES = [
    ("GET", f"{P}/disputes", {Role.REVIEWER, Role.LEAD}),
    ("GET", f"{P}/drafts", {Role.REVIEWER, Role.LEAD}),
    ("GET", f"{P}/gold", {Role.REVIEWER, Role.LEAD, Role.SECURITY}),
    ("GET", "/api/v1/proposals", {Role.REVIEWER, Role.LEAD, Role.SECURITY}),
    ("GET", "/api/v1/quarantine", {Role.REVIEWER, Role.LEAD, Role.SECURITY}),
    ("GET", "/api/v1/audit/verify", {Role.SECURITY, Role.ADMIN}),
    ("GET", "/review", {Role.REVIEWER, Role.LEAD}),
    ("GET", "/lead", {Role.REVIEWER, Role.LEAD, Role.SECURITY, Role.ADMIN}),
    ("GET", "/lead/new", {Role.LEAD}),
    ("GET", "/lead/p/gold", {Role.REVIEWER, Role.LEAD, Role.SECURITY}),
    ("GET", "/security/proposals", {Role.REVIEWER, Role.LEAD, Role.SECURITY}),
    ("GET", "/security/audit", {Role.SECURITY, Role.ADMIN}),
]


@pytest.mark.parametrize("role", list(Role))
def test_each_role_sees_what_it_may(site: GovernanceSite, role: Role) -> None:
    browser = site.browser(role)
    for method, path, may in ROUTES:
        assert browser.send(method, path).status_code == (200 if role in may else 403), (role, path)


def test_writing_needs_the_csrf_token(site: GovernanceSite) -> None:
    item = site.dispute()[0]
    browser = site.browser(Role.REVIEWER)
    browser.csrf = ""
    answer = browser.post(f"{P}/disputes/{item}/verdict", {"round": 0, "answers": [], "reason": "x"})
    assert answer.status_code == 403 and answer.json()["error"]["code"] == "csrf"


def test_a_walk_over_the_journal_says_that_it_holds_and_that_it_does_not(site: GovernanceSite) -> None:
    site.dispute()
    browser = site.browser(Role.SECURITY)
    assert browser.get("/api/v1/audit/verify").json() == {"walk": None}
    assert _walked(browser)["broken"] == ""
    with site.site.console.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS journal_no_update")
        for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").all():
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        connection.exec_driver_sql("UPDATE journal SET payload = '{}' WHERE seq = 2")
    assert "2" in _walked(browser)["broken"]
    assert len(kinds(site, "console.verify")) == 2


def _walked(browser: Any) -> dict[str, Any]:
    """Begin a walk and ask until it has ended; each request lets the application go on."""
    assert browser.post("/api/v1/audit/verify").status_code == 202
    for _ in range(2000):
        walk = browser.get("/api/v1/audit/verify").json()["walk"]
        if walk["ended_at"]:
            return dict(walk)
    raise AssertionError("the walk did not end")


def test_verdicts_of_every_order_are_told_in_the_items_letters(site: GovernanceSite) -> None:
    """The slots are shuffled by reviewer; what is stored must not be."""
    for item in site.dispute():
        browser = site.browser(Role.REVIEWER)
        shown = browser.get(f"{P}/disputes/{item}").json()
        body = {"round": 0, "answers": prefer(shown, "Answer 0"), "reason": "right"}
        told = browser.post(f"{P}/disputes/{item}/verdict", body).json()
        assert told["adjudications"][0]["label"] == "A > B" and told["responses"][0]["text"].startswith("Answer 0")


@pytest.mark.parametrize("name", ["%00", "a%20b", "%F0%9F%98%80", "x" * 61, "%25", "'", "%ff"])
def test_names_that_nothing_has_are_never_an_error_of_ours(site: GovernanceSite, name: str) -> None:
    site.quarantine()
    browser = site.browser(Role.LEAD)
    for path in (f"{P}/disputes/{name}", f"{P}/items/{name}", f"{P}/drafts/{name}", f"/api/v1/proposals/{name}"):
        assert browser.get(path).status_code in (404, 422), path
    for path in (f"{P}/disputes?after={name}", f"{P}/gold?after={name}", f"/api/v1/proposals?after={name}"):
        assert browser.get(path).status_code == 422, path
    assert browser.post(f"/api/v1/quarantine/{name}/proposals", {"reason": "x"}).status_code in (404, 422)
    assert browser.get(f"/lead/p/items/{name}").status_code in (404, 422)
