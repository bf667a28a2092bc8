"""Signing in and looking after one's account in Chromium: by keyboard alone, on a desktop and on a phone."""

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from checked_tab import DESKTOP, PHONE, checked_tab
from console_site import PASSWORD, ConsoleSite, add_project, console_site

from backstay.web.permissions import Role

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path"),
]
SIZES = [pytest.param(DESKTOP, "light", id="desktop"), pytest.param(PHONE, "dark", id="phone")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with console_site(tmp_path) as made:
        yield made


@contextlib.contextmanager
def served(site: ConsoleSite) -> Iterator[str]:
    """The application on a free loopback port."""
    server = uvicorn.Server(uvicorn.Config(site.app, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def tab(browser: Any, size: dict[str, int], scheme: str) -> contextlib.AbstractContextManager[Any]:
    """A page of a browser of its own, in which requests may be refused."""
    return checked_tab(browser, "", {}, expected="status of 4", viewport=size, color_scheme=scheme)


def check(page: Any) -> None:
    """No violation of WCAG 2.2 AA that axe finds, and nothing to scroll to the side."""
    found = axe_api.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def type_in(page: Any, *texts: str) -> None:
    """Type into one field after the other, and send the form."""
    for number, text in enumerate(texts):
        if number:
            page.keyboard.press("Tab")
        page.keyboard.type(text)
    page.keyboard.press("Enter")


@pytest.mark.parametrize(("size", "scheme"), SIZES)
def test_from_the_invitation_to_signing_out_by_keyboard(
    browser: Any, site: ConsoleSite, size: dict[str, int], scheme: str
) -> None:
    path = site.as_role(Role.ADMIN).post("/api/v1/invitations", {"role": "lead"}).json()["path"]
    with served(site) as url, tab(browser, size, scheme) as page:
        page.goto(url + path)
        check(page)
        page.locator("#name").focus()
        type_in(page, "ann", "Ann", "password1234", "password1234")
        page.get_by_role("alert").wait_for()
        check(page)
        assert page.locator("#name").input_value() == "ann"
        page.locator("#password").focus()
        type_in(page, PASSWORD, PASSWORD)
        page.wait_for_url("**/lead")
        page.goto(url + "/account")
        check(page)
        page.locator("form[action='/account/tokens'] #name").focus()
        page.keyboard.type("nightly export")
        page.get_by_label("export", exact=True).focus()
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        page.locator("#new-token code").wait_for()
        assert page.locator("#new-token code").inner_text().startswith("bst_")
        check(page)
        page.get_by_role("button", name="Sign out", exact=True).first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/sign-in")
        check(page)
        page.locator("#name").focus()
        type_in(page, "ann", "not the password")
        page.get_by_role("alert").wait_for()
        check(page)
        page.locator("#password").focus()
        type_in(page, PASSWORD)
        page.wait_for_url("**/lead")


@pytest.mark.parametrize(("size", "scheme"), SIZES)
def test_a_page_that_needs_signing_in_is_where_one_ends_up(
    browser: Any, site: ConsoleSite, size: dict[str, int], scheme: str
) -> None:
    site.add(Role.RATER, "ann", password=PASSWORD)
    with served(site) as url, tab(browser, size, scheme) as page:
        page.goto(f"{url}/account")
        page.wait_for_url("**/sign-in?next=/account")
        page.locator("#name").focus()
        type_in(page, "ann", PASSWORD)
        page.wait_for_url(f"{url}/account")
        cookie = next(c for c in page.context.cookies() if c["name"] == "backstay")
        assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
        assert "backstay" not in page.evaluate("document.cookie")


@pytest.mark.parametrize(("size", "scheme"), SIZES)
def test_a_rater_link_by_keyboard(browser: Any, site: ConsoleSite, size: dict[str, int], scheme: str) -> None:
    add_project(site, "p")
    order = {"external_ids": ["someone"], "wanted": 2, "holds_s": 3600}
    path = site.as_role(Role.LEAD).post("/api/v1/projects/p/rater-links", order).json()["links"][0]["path"]
    with served(site) as url, tab(browser, size, scheme) as page:
        page.goto(url + path)
        check(page)
        page.get_by_role("button", name="Begin").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/rate/p")
        page.goto(f"{url}/link")
        assert "0 of 2" in page.locator("main").inner_text()
        check(page)
        with tab(browser, size, scheme) as second:
            second.goto(url + path)
            second.get_by_role("button").first.click()
            second.get_by_role("alert").wait_for()
            check(second)
