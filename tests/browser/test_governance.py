"""Deciding in Chromium: a dispute by keyboard alone, a proposal by two people in two browsers, pages by axe."""

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from checked_tab import PHONE, checked_tab
from governance_site import GovernanceSite, governance, long_texts

from backstay.feedback.collection import fill_page
from backstay.guard.gateway.server import listen
from backstay.web.accounts import sessions
from backstay.web.permissions import Role

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")]


@contextlib.contextmanager
def served(site: GovernanceSite) -> Iterator[str]:
    """The application on a free port of this machine, in a thread."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(site.site.app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GovernanceSite, str]]:
    with governance(tmp_path_factory.mktemp("governance"), prompts=3, gold=1) as made:
        long_texts(made.repository)
        made.site.console.write_now(lambda unit: fill_page(unit, made.project))
        made.dispute(4)
        made.quarantine()
        with served(made) as url:
            yield made, url


@contextlib.contextmanager
def tab(browser: Any, site: tuple[GovernanceSite, str], role: Role, **options: Any) -> Iterator[Any]:
    """A page of a browser of its own in which the first person of a role is signed in; errors of script fail it."""
    made, url = site
    settings = made.site.accounts.settings.session
    _, cookie = made.site.console.write_now(
        lambda unit: sessions.begin(unit, settings, account_id=made.people[role].id, browser="Chromium")
    )
    with checked_tab(browser, url, {made.site.accounts.cookie: cookie}, **options) as page:
        yield page


def test_a_dispute_is_decided_by_keyboard_alone(browser: Any, site: tuple[GovernanceSite, str]) -> None:
    made, _ = site
    with tab(browser, site, Role.REVIEWER) as page:
        page.goto("/review/p/disputes")
        first = page.url
        assert page.get_by_text("r-ann").count() == 0
        better = page.locator(".said").first.inner_text()
        page.keyboard.press("1")
        assert page.locator("input:checked").get_attribute("value") == "A>B"
        page.keyboard.press("r")
        page.keyboard.type("It keeps to the question, 4 of 4.")
        page.keyboard.press("Escape")
        page.keyboard.press("d")
        page.wait_for_url("**/settled/**")
        assert (
            page.get_by_text("r-ann").count() == 1
            and page.get_by_text("It keeps to the question, 4 of 4.").count() == 1
        )
        verdict = page.locator(".plain-list b").first.inner_text()
        winner = page.locator(".said").nth("AB".index(verdict[0])).inner_text()
        assert winner.split("\n", 1)[1] == better.split("\n", 1)[1]
        page.keyboard.press("n")
        page.wait_for_url("**/disputes/**")
        assert page.url != first
    assert len(made.repository.audits("d")) == 1


def test_two_people_in_two_browsers_change_gold(browser: Any, site: tuple[GovernanceSite, str]) -> None:
    made, _ = site
    with tab(browser, site, Role.LEAD) as lead, tab(browser, site, Role.SECURITY) as security:
        lead.goto("/lead/p/gold")
        lead.locator("tbody a").first.click()
        lead.get_by_label("Change").select_option("withdraw")
        lead.get_by_label("Why").first.fill("Both answers are fair.")
        lead.get_by_role("button", name="Propose").click()
        lead.wait_for_url("**/security/proposals/**")
        assert lead.get_by_role("button", name="Confirm").count() == 0
        security.goto("/security/proposals")
        security.get_by_role("link", name="Withdraw gold").click()
        security.get_by_label("Why").fill("I agree.")
        security.get_by_role("button", name="Confirm").click()
        security.get_by_text("Security.One: confirmed").wait_for()
        lead.reload()
        lead.get_by_text("I agree.").wait_for()
    assert all(task.gold is None for task in made.repository.tasks("d"))


def test_the_journal_is_verified_on_the_page(browser: Any, site: tuple[GovernanceSite, str]) -> None:
    with tab(browser, site, Role.SECURITY) as page:
        page.goto("/security/audit")
        page.get_by_role("button", name="Verify").click()
        page.get_by_text("holds", exact=True).wait_for()


PAGES = [
    (Role.REVIEWER, "/review"),
    (Role.REVIEWER, "/review/p/disputes"),
    (Role.REVIEWER, "/review/p/drafts"),
    (Role.LEAD, "/lead"),
    (Role.LEAD, "/lead/new"),
    (Role.LEAD, "/lead/p/settings"),
    (Role.LEAD, "/lead/p/guidelines"),
    (Role.LEAD, "/lead/p/gold"),
    (Role.LEAD, "/lead/p/import"),
    (Role.SECURITY, "/lead/p/items/{item}"),
    (Role.LEAD, "/security/quarantine"),
    (Role.SECURITY, "/security/proposals"),
    (Role.SECURITY, "/security/audit"),
]


@pytest.mark.parametrize("look", ["desktop", "dark", "phone"])
def test_axe_finds_nothing_and_no_page_is_wider_than_the_window(
    browser: Any, site: tuple[GovernanceSite, str], look: str
) -> None:
    looks: dict[str, dict[str, Any]] = {"desktop": {}, "dark": {"color_scheme": "dark"}, "phone": {"viewport": PHONE}}
    options = looks[look]
    with site[0].site.console.engine.connect() as connection:
        item = connection.exec_driver_sql("SELECT id FROM items ORDER BY id LIMIT 1").scalar()
    for role in (Role.REVIEWER, Role.LEAD, Role.SECURITY):
        with tab(browser, site, role, **options) as page:
            for path in (path for wanted, path in PAGES if wanted is role):
                page.goto(path.format(item=item))
                found = axe_api.Axe().run(page).response["violations"]
                assert [(row["id"], row["nodes"][0]["target"]) for row in found] == [], (look, path)
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (look, path)
