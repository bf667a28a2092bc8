"""A whole session on the real console, by keyboard alone: sign in, judge, take back, skip, lose the connection, end."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from collection_world import fill_dataset
from console_site import PASSWORD, ConsoleSite, console_site
from fake_rating_api import serve_app
from guard_gateway import LoopThread
from rating_browser import SIZES, launched, watched

from backstay.feedback.collection import ProjectSettings, create_project, fill_page
from backstay.storage import Repository
from backstay.web.permissions import Role

pytestmark = [pytest.mark.browser, pytest.mark.integration]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as made:
        yield made


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with console_site(tmp_path) as made:
        made.console.clock = lambda: time.time_ns() // 1_000_000
        fill_dataset(Repository(made.console.engine), 4)
        settings = ProjectSettings(gold_share=0.0, repeat_share=0.0)
        project = made.console.write_now(lambda unit: create_project(unit, "p", "Questions", "d", settings, "lead"))
        made.console.write_now(lambda unit: fill_page(unit, project))
        made.add(Role.RATER, "rita", password=PASSWORD)
        yield made


def settle(page: Any, state: str = "task") -> None:
    page.wait_for_selector(f"body[data-state={state}]")
    page.evaluate("() => new Promise(done => setTimeout(done, 260))")


def press(page: Any, key: str, state: str = "task") -> None:
    """Press a key that sends something, and wait for what the server says to it."""
    with page.expect_response(re.compile("/(judgment|skip|undo)$")):
        page.keyboard.press(key)
    settle(page, state)


@pytest.mark.parametrize("size", SIZES)
def test_a_whole_session(browser: Any, site: ConsoleSite, size: dict[str, int]) -> None:
    problems: list[str] = []
    with LoopThread() as loop:
        url = f"http://127.0.0.1:{loop.call(serve_app(loop, site.app))}"
        context = browser.new_context(viewport=size)
        page = watched(context, url, problems)
        page.goto(f"{url}/rate/p")
        page.wait_for_url("**/sign-in**")
        page.locator("input[name=name]").focus()
        page.keyboard.type("rita")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        settle(page)
        seen = [page.text_content("#prompt").strip()]
        press(page, "1")
        press(page, "z")
        assert page.text_content("#prompt").strip() == seen[0]
        press(page, "7")
        seen.append(page.text_content("#prompt").strip())
        page.keyboard.press("s")
        press(page, "1")
        seen.append(page.text_content("#prompt").strip())
        page.route("**/judgment", lambda route: (route.fetch(), route.abort()), times=1)
        page.keyboard.press("4")
        page.wait_for_selector("[data-kind=connection]")
        page.reload()
        settle(page)
        seen.append(page.text_content("#prompt").strip())
        press(page, "b", "still")
        assert page.locator("#done-today").text_content() == "3"
        assert sorted(seen) == [f"Question {n}?" for n in range(4)]
        context.close()
    assert problems == []
    check_records(site)


def check_records(site: ConsoleSite) -> None:
    """Four judgments were made, one of them is taken back; every one is there once."""
    repository = Repository(site.console.engine)
    found = repository.all_judgments("d")
    assert len(found) == 4
    assert [judgment.id for judgment in repository.judgments("d")] == [judgment.id for judgment in found[1:]]
    assert [retraction.judgment_id for retraction in repository.retractions("d")] == [found[0].id]
    assert [judgment.strength for judgment in found] == [3, 3, None, None]
    first, again, tie, bad = found
    assert first.task_id == again.task_id
    left, right = first.order_shown
    assert first.choice.ranking == ((left,), (right,))
    assert again.choice.ranking[0] == (again.order_shown[1],)
    assert len(tie.choice.ranking) == 1
    assert bad.choice.both_bad
    assert len({judgment.task_id for judgment in found}) == 3
