"""Browsers for tests of the rating page: launched once a module, a fresh context a test, no error unseen."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from fake_rating_api import FakeApi

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 360, "height": 740}
SIZES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]
CALM_MS = 260


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """A headless Chromium; skips where there is none."""
    playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the path")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def rating(browser: Any, api: FakeApi, *, opened: bool = True, meant: str = "", **options: Any) -> Iterator[Any]:
    """A page on the rating page; errors of script, and addresses beyond the console, fail the test.

    `meant` is a part of the errors that the test brings about on purpose.
    """
    context = browser.new_context(**({"viewport": DESKTOP} | options))
    problems: list[str] = []
    page = watched(context, api.url, problems)
    try:
        if opened:
            page.goto(f"{api.url}/rate/sky")
            ready(page)
        yield page
        assert [problem for problem in problems if not meant or meant not in problem] == []
    finally:
        context.close()


def watched(context: Any, url: str, problems: list[str]) -> Any:
    """A page whose errors, dialogs and foreign requests are written down."""
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if _is_fault(said) else None)
    page.on("request", lambda asked: None if asked.url.startswith(url) else problems.append(f"asked for {asked.url}"))
    page.on("dialog", lambda dialog: problems.append(f"dialog {dialog.message}"))
    return page


def _is_fault(said: Any) -> bool:
    return said.type in ("error", "warning") and "Failed to load resource" not in said.text


def ready(page: Any) -> None:
    """Wait until a task is on show and takes keys."""
    page.wait_for_selector("body[data-state=task]")
    page.evaluate(f"() => new Promise(done => setTimeout(done, {CALM_MS}))")


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def judge(page: Any, api: FakeApi, *keys: str) -> None:
    """Press keys that end in a judgment or skip, and wait for what comes after it."""
    before = page.evaluate("document.getElementById('done-today').textContent")
    press(page, *keys)
    page.wait_for_function("n => document.getElementById('done-today').textContent !== n", arg=before)
    page.wait_for_selector("body:not([data-state=sending])")
    page.evaluate(f"() => new Promise(done => setTimeout(done, {CALM_MS}))")


def kept(page: Any, what: str) -> Any:
    """What the page keeps on the device."""
    return page.evaluate("name => JSON.parse(localStorage.getItem(name))", f"backstay.acc-rita.{what}")
