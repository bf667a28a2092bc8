"""A page in a browser context of its own; a script that fails, or an error in its console, fails the test."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 360, "height": 740}


@contextlib.contextmanager
def checked_tab(
    browser: Any, url: str, cookies: Mapping[str, str], *, expected: str | None = None, **options: Any
) -> Iterator[Any]:
    """A page on a desktop that sends these cookies to `url`; errors that say `expected` fail nothing."""
    context = browser.new_context(**({"viewport": DESKTOP, "base_url": url} | options))
    context.add_cookies([{"name": name, "value": value, "url": url} for name, value in cookies.items()])
    page = context.new_page()
    page.set_default_timeout(15_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    try:
        yield page
        assert [text for text in problems if expected is None or expected not in text] == []
    finally:
        context.close()
