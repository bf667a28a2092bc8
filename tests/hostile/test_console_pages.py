"""Every page over texts that mean harm, in Chromium: no script of theirs runs, and nothing is asked of another host."""

import shutil
from collections.abc import Iterator

import pytest
from governance_site import GovernanceSite, governance
from insight_site import served

from backstay.feedback.collection import ProjectSettings, create_project, fill_page
from backstay.records import Message, Prompt, Rater, Response, Task
from backstay.web.accounts import sessions
from backstay.web.accounts.directory import Account
from backstay.web.permissions import Role

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")]

EVIL = (
    "\"'></title></textarea></script><script>alert(1)</script><img src=https://evil.invalid/x onerror=alert(2)>"
    "<svg onload=alert(3)><a href=javascript:alert(4)>x</a>{{7*7}}${7*7}"
    "![i](https://evil.invalid/p.png)[l](javascript:alert(5))<base href=https://evil.invalid/>"
    "<meta http-equiv=refresh content='0;url=https://evil.invalid/'><iframe srcdoc='<script>alert(6)</script>'>"
    "<style>@import 'https://evil.invalid/s.css'</style><link rel=stylesheet href=https://evil.invalid/c.css>"
)
LINE = "\"'><img src=https://evil.invalid/n onerror=alert(7)>{{7*7}}"
RATER = "\"'><svg onload=alert(8)>..?a=b#c"


def poisoned(made: GovernanceSite) -> Account:
    """Harm in every text that somebody can store; a rater with a name like that."""
    site = made.site
    with made.repository.batch() as batch:
        prompt = Prompt.make((Message(role="system", content=EVIL), Message(role="user", content=EVIL)), source="made")
        rows = [Response.make(prompt.id, f"{n} {EVIL}", policy="m") for n in range(2)]
        batch.add_prompts("evil", [prompt])
        batch.add_responses("evil", rows)
        batch.add_tasks("evil", [Task.make(prompt.id, (rows[0].id, rows[1].id), gold=0)])
        batch.add_raters("evil", [Rater(id=RATER, display_name=LINE)])
    chosen = ProjectSettings(gold_share=0.0, repeat_share=0.0, votes=2, most_votes=2)
    site.console.write_now(lambda unit: fill_page(unit, create_project(unit, "p2", LINE, "evil", chosen, LINE)))
    lead = made.browser(Role.LEAD)
    assert lead.post("/api/v1/projects/p2/guidelines", {"text": EVIL}).status_code == 201
    found = site.add(Role.RATER, "evil.rater", projects=None)
    site.console.write_now(
        lambda unit: unit.connection.exec_driver_sql(
            "UPDATE accounts SET display_name = ?, rater_id = ? WHERE id = ?", (LINE, RATER, found.id)
        )
    )
    return found


def answered(made: GovernanceSite, evil: Account) -> dict[str, str]:
    """The rater with the name and another one disagree, with harm in all they may write; ids of what came of it."""
    site = made.site
    for number, account in enumerate((evil, site.add(Role.RATER, "second.rater"))):
        browser = site.signed_in(account)
        task = browser.post("/api/v1/projects/p2/assignments").json()["assignment"]
        first = next(row["slot"] for row in task["responses"] if row["text"].startswith(str(number)))
        body = {
            "answers": [{"dimension": "overall", "ranking": [[first], [1 - first]]}],
            "rationale": EVIL,
            "spans": [{"slot": 0, "start": 0, "end": 40, "label": "bad"}],
            "edit": {"slot": first, "text": EVIL},
        }
        key = {"idempotency-key": f"key-{task['id']}"}
        answer = browser.post(f"/api/v1/assignments/{task['id']}/judgment", body, headers=key)
        assert answer.status_code == 201, answer.text
    reviewer = made.browser(Role.REVIEWER)
    item = reviewer.get("/api/v1/projects/p2/disputes").json()["items"][0]["id"]
    draft = reviewer.get("/api/v1/projects/p2/drafts").json()["drafts"][0]["id"]
    change = {"item": item, "step": "set", "best": 1, "reason": EVIL}
    proposal = reviewer.post("/api/v1/projects/p2/gold/proposals", change).json()["id"]
    return {"item": item, "draft": draft, "proposal": proposal}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GovernanceSite, str, dict[str, str]]]:
    with governance(tmp_path_factory.mktemp("pages"), prompts=2, gold=1) as made:
        ids = answered(made, poisoned(made))
        with served(made.site) as url:
            yield made, url, ids


PAGES = {
    Role.RATER: ("/", "/rate", "/rate/p2", "/account"),
    Role.REVIEWER: (
        "/review",
        "/review/p2/disputes/{item}",
        "/review/p2/settled/{item}",
        "/review/p2/drafts/{draft}",
        "/rate/p2",
    ),
    Role.LEAD: (
        "/lead",
        "/lead/new",
        "/lead/p2",
        "/lead/p2/raters",
        "/lead/p2/raters?text=%22%3E%3Csvg%20onload=alert(9)%3E",
        "/lead/p2/raters/{rater}",
        "/lead/p2/cohorts",
        "/lead/p2/settings",
        "/lead/p2/guidelines",
        "/lead/p2/import",
        "/lead/p2/gold",
        "/lead/p2/items/{item}",
    ),
    Role.SECURITY: (
        "/lead/p2/items/{item}",
        "/security/proposals",
        "/security/proposals/{proposal}",
        "/security/quarantine",
        "/security/audit",
        "/security/audit?kind=%3Csvg%3E",
        "/lead/%22%3E%3Csvg%20onload=alert(10)%3E",
    ),
}


@pytest.mark.parametrize("role", list(PAGES))
def test_no_page_runs_or_loads_what_somebody_wrote(
    world: tuple[GovernanceSite, str, dict[str, str]], role: Role
) -> None:
    made, url, ids = world
    names = ids | {"rater": "%22'%3E%3Csvg%20onload=alert(8)%3E..%3Fa=b%23c"}
    settings = made.site.accounts.settings.session
    _, cookie = made.site.console.write_now(
        lambda unit: sessions.begin(unit, settings, account_id=made.people[role].id, browser=EVIL[:200])
    )
    seen: list[str] = []
    shown = 0
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(base_url=url)
        context.add_cookies([{"name": made.site.accounts.cookie, "value": cookie, "url": url}])
        page = context.new_page()
        page.on("dialog", lambda dialog: seen.append(f"dialog {dialog.message}") or dialog.dismiss())  # type: ignore[func-returns-value]  # None, then dismissed
        page.on("request", lambda asked: None if asked.url.startswith(url) else seen.append(asked.url))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("console", lambda said: seen.append(said.text) if "Content Security" in said.text else None)
        for path in PAGES[role]:
            answer = page.goto(path.format(**names), wait_until="networkidle")
            assert answer.status < 500, path
            shown += "evil.invalid" in page.content()
            assert page.evaluate("document.querySelectorAll('img, iframe, base, style').length") == 0, path
            assert page.evaluate("document.querySelectorAll('[onload], [onerror], [href^=javascript]').length") == 0
            assert "49" not in page.inner_text("h1"), path
        browser.close()
    assert seen == []
    assert shown >= 3  # The texts were there, as text.
