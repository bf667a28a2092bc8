"""The lead's pages in Chromium: no violation of axe, on desktop and phone, light and dark; pausing a rater by hand."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from bulk_console import PROJECT
from checked_tab import DESKTOP, PHONE, checked_tab
from console_site import ConsoleSite
from insight_site import insight_site, served

from backstay.web.permissions import Role

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path"),
]
LOOKS = [
    pytest.param({"viewport": DESKTOP}, id="light"),
    pytest.param({"viewport": DESKTOP, "color_scheme": "dark"}, id="dark"),
    pytest.param({"viewport": PHONE}, id="phone"),
    pytest.param({"viewport": DESKTOP, "java_script_enabled": True, "forced_colors": "active"}, id="forced-colours"),
]
PAGES = ["", f"/{PROJECT}", f"/{PROJECT}/raters", f"/{PROJECT}/raters/r-00004", f"/{PROJECT}/cohorts"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ConsoleSite, str]]:
    with insight_site(tmp_path_factory.mktemp("insight")) as made, served(made) as url:
        yield made, url


@contextlib.contextmanager
def tab(browser: Any, site: tuple[ConsoleSite, str], **options: Any) -> Iterator[Any]:
    """A page of a lead; whatever it logs as an error fails the test."""
    made, url = site
    with checked_tab(browser, url, {made.accounts.cookie: made.as_role(Role.LEAD).cookie}, **options) as page:
        yield page


def test_trust_is_computed_from_the_page(browser: Any, site: tuple[ConsoleSite, str]) -> None:
    with tab(browser, site) as page:
        page.goto(f"{site[1]}/lead/{PROJECT}/raters")
        assert "Not computed yet" in page.inner_text("main")
        page.click("text=Compute now")
        for _ in range(50):
            if "2 raters act as one" in page.inner_text("main"):
                break
            page.reload()
        page.click("summary:has-text('Who')")
        page.click(".who-list a >> nth=0")
        assert page.inner_text("h1") == "r-00004"
        assert "2 raters act as one" in page.inner_text(".alarms")


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_and_nothing_hangs_over(
    browser: Any, site: tuple[ConsoleSite, str], look: dict[str, Any]
) -> None:
    with tab(browser, site, **look) as page:
        for path in PAGES:
            page.goto(f"{site[1]}/lead{path}")
            found = axe_api.Axe().run(page).response["violations"]
            assert [(row["id"], row["nodes"][0]["html"][:200]) for row in found] == [], path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_figures_change_while_somebody_watches(browser: Any, site: tuple[ConsoleSite, str]) -> None:
    with tab(browser, site) as page:
        told = {"votes": {"given": 123456}, "done_share": 0.875}
        page.route("**/overview", lambda route: route.fulfill(json=told))
        page.clock.install()
        page.goto(f"{site[1]}/lead/{PROJECT}")
        assert page.inner_text("[data-live='votes.given']") == "1\u202f500"
        page.clock.run_for(11_000)
        page.wait_for_function("() => document.querySelector(\"[data-live='done_share']\").textContent === '88%'")
        assert page.inner_text("[data-live='votes.given']") == "123\u202f456"


def test_a_rater_is_paused_by_keyboard_and_without_script(browser: Any, site: tuple[ConsoleSite, str]) -> None:
    with tab(browser, site, java_script_enabled=False) as page:
        page.goto(f"{site[1]}/lead/{PROJECT}/raters/r-00011")
        page.focus("#reason")
        page.keyboard.type("Forty answers in a minute")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector(".project-title .state.bad")
        assert page.inner_text(".project-title .state") == "paused"
        page.goto(f"{site[1]}/lead/{PROJECT}/raters?shown=paused")
        assert page.locator("tbody tr").count() == 1
        page.goto(f"{site[1]}/lead/{PROJECT}/raters?text=R-00012")
        assert page.inner_text("tbody th a") == "r-00012"
        page.click("thead a:has-text('Judged')")
        assert page.get_attribute("thead th:has-text('Judged')", "aria-sort") == "ascending"
