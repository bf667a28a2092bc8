"""The pages of admins and of rater links in Chromium: an invitation, from one browser to another; axe on each."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from checked_tab import DESKTOP, PHONE, checked_tab
from console_site import PASSWORD, ConsoleSite, add_project, console_site
from insight_site import served

from backstay.web.permissions import Role

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")]
LOOKS = [
    pytest.param({"viewport": DESKTOP}, id="desktop"),
    pytest.param({"viewport": DESKTOP, "color_scheme": "dark"}, id="dark"),
    pytest.param({"viewport": PHONE}, id="phone"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ConsoleSite, str]]:
    with console_site(tmp_path_factory.mktemp("admin")) as made:
        add_project(made, "p")
        with served(made) as url:
            yield made, url


@contextlib.contextmanager
def tab(browser: Any, site: tuple[ConsoleSite, str], role: Role | None, **options: Any) -> Iterator[Any]:
    """A page of somebody of this role, or of nobody; errors of script fail the test."""
    made, url = site
    cookies = {} if role is None else {made.accounts.cookie: made.as_role(role).cookie}
    with checked_tab(browser, url, cookies, **options) as page:
        yield page


def test_an_invitation_is_copied_and_makes_an_account(browser: Any, site: tuple[ConsoleSite, str]) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    with tab(browser, site, Role.ADMIN, permissions=allowed) as admin, tab(browser, site, None) as other:
        admin.goto("/admin/invitations")
        assert not admin.get_by_label("Project p").is_visible()
        admin.get_by_label("Role").select_option("reviewer")
        admin.get_by_label("Only these").check()
        admin.get_by_label("Project p").check()
        admin.get_by_role("button", name="Make a link").click()
        admin.get_by_role("button", name="Copy").click()
        admin.get_by_role("button", name="Copied").wait_for()
        link = admin.evaluate("navigator.clipboard.readText()")
        assert link == admin.inner_text("#secret") and link.startswith(f"{site[1]}/join/")
        other.goto(link)
        other.get_by_label("Name", exact=True).fill("rosa")
        for label in ("Password", "The same password again"):
            other.get_by_label(label, exact=True).fill(PASSWORD)
        other.get_by_role("button", name="Make the account").click()
        other.wait_for_url("**/review")
        admin.goto("/admin/accounts")
        assert "Project p" in admin.locator("tr", has_text="rosa").inner_text()


@pytest.mark.parametrize("options", LOOKS)
def test_axe_finds_nothing_and_no_page_is_wider_than_the_window(
    browser: Any, site: tuple[ConsoleSite, str], options: dict[str, Any]
) -> None:
    with tab(browser, site, Role.ADMIN, **options) as page:
        page.goto("/admin/accounts")
        clean(page)
        page.locator("tbody a", has_text="admin").first.click()
        clean(page)
        page.goto("/admin/invitations")
        page.get_by_role("button", name="Make a link").click()
        page.get_by_text("Only these").click()
        clean(page)
        page.goto("/admin/webhooks")
        page.get_by_label("Address").fill("https://hooks.example.org/of-a-rather-long-address/that-goes-on")
        page.get_by_text("A file was stored").click()
        page.get_by_role("button", name="Make the webhook").click()
        page.get_by_role("button", name="Send a test").click()
        clean(page)
        page.goto("/admin/webhooks")
        clean(page)
    with tab(browser, site, Role.LEAD, **options) as page:
        page.goto("/lead/p/links")
        page.get_by_label("For whom").fill("ann\nben")
        page.get_by_role("button", name="Make links").click()
        clean(page)


def clean(page: Any) -> None:
    found = axe_api.Axe().run(page).response["violations"]
    assert [(row["id"], row["nodes"][0]["target"]) for row in found] == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
