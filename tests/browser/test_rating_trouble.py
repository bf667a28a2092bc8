"""When things go wrong while a rater works: nothing is lost, nothing is doubled, and the page says what is so."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fake_rating_api import FakeTask, fake_rating, pair
from rating_browser import judge, kept, launched, press, rating, ready, watched

pytestmark = pytest.mark.browser
JUDGMENT = re.compile(r"/judgment$")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as made:
        yield made


def cut_after_the_server(route: Any) -> None:
    """The server takes the request, and its answer never arrives."""
    route.fetch()
    route.abort("connectionreset")


def test_a_dead_connection_in_mid_judgment(browser: Any) -> None:
    with fake_rating(pair("one"), pair("two"), pair("three")) as api, rating(browser, api) as page:
        page.context.set_offline(True)
        press(page, "1")
        page.wait_for_selector("[data-kind=connection]")
        assert "Your judgment is kept on this device" in page.text_content("#notices")
        (entry,) = kept(page, "outbox")
        assert entry["body"]["answers"][0]["strength"] == 3
        press(page, "7", "2", "s", "1")
        assert api.judgments() == []
        page.context.set_offline(False)
        page.wait_for_selector("#notices .note[data-kind=connection]", state="detached")
        ready(page)
        assert page.text_content("#prompt").strip() == "two"
        assert kept(page, "outbox") == []
        judge(page, api, "2")
    assert [body["answers"][0]["strength"] for body in api.judgments()] == [3, 2]


def test_an_answer_that_got_lost_doubles_nothing(browser: Any) -> None:
    with fake_rating(pair("one"), pair("two")) as api, rating(browser, api) as page:
        page.route(JUDGMENT, cut_after_the_server, times=1)
        judge(page, api, "1")
        assert page.text_content("#prompt").strip() == "two"
    assert len(api.tried) == 2
    assert len(set(api.tried)) == 1
    assert len(api.judgments()) == 1


@pytest.mark.parametrize("reached", [False, True], ids=["never-arrived", "arrived"])
def test_a_reload_or_crash_with_a_judgment_on_its_way(browser: Any, reached: bool) -> None:
    with fake_rating(pair("one"), pair("two"), pair("three")) as api, rating(browser, api) as page:
        page.route(JUDGMENT, cut_after_the_server if reached else lambda route: route.abort(), times=1)
        press(page, "r")
        page.keyboard.type("because")
        press(page, "Escape", "r", "1")
        page.wait_for_selector("[data-kind=connection]")
        page.close()
        problems: list[str] = []
        again = watched(page.context, api.url, problems)
        again.goto(f"{api.url}/rate/sky")
        ready(again)
        assert again.text_content("#prompt").strip() == "two"
        assert kept(again, "outbox") == []
        assert kept(again, "drafts") == []
        judge(again, api, "7")
        assert problems == []
        again.close()
    assert [body["answers"][0]["ranking"] for body in api.judgments()] == [[[0], [1]], [[1], [0]]]
    assert api.judgments()[0]["rationale"] == "because"
    assert len(set(api.tried)) == 2


def test_a_server_in_trouble_is_asked_again(browser: Any) -> None:
    with fake_rating(pair("one"), pair("two")) as api, rating(browser, api) as page:
        for status in (500, 503, 429):
            api.trouble = status
            if status == 500:
                press(page, "1")
            else:
                page.click("[data-kind=connection] button:has-text('Try now')")
            page.wait_for_selector(f"[data-kind=connection] :text('It answered {status}')")
        api.trouble = 0
        page.click("[data-kind=connection] button:has-text('Try now')")
        ready(page)
        assert page.text_content("#prompt").strip() == "two"
        assert page.locator("#notices [data-kind=connection]").count() == 0
    assert len(api.judgments()) == 1


def test_an_expired_lease_keeps_what_was_written_and_offers_it_again(browser: Any) -> None:
    with fake_rating(pair("one"), pair("two"), pair("one")) as api, rating(browser, api) as page:
        press(page, "r")
        page.keyboard.type("a careful word")
        press(page, "Escape", "r", "e", "2")
        page.fill("#edit-text", "It scatters.")
        press(page, "Escape", "Escape")
        api.refusal = (409, "lease_over")
        api.at = 1
        press(page, "1")
        page.wait_for_selector("[data-kind=refused]")
        assert "What you wrote is kept here" in page.text_content("#notices")
        ready(page)
        assert page.text_content("#prompt").strip() == "two"
        assert page.locator("[data-kind=draft]").count() == 0
        judge(page, api, "4")
        assert page.text_content("#prompt").strip() == "one"
        page.click("[data-kind=draft] button:has-text('Use it')")
        judge(page, api, "1")
        assert kept(page, "drafts") == []
    assert [body["rationale"] for body in api.judgments()] == ["", "a careful word"]
    assert api.judgments()[1]["edit"] == {"slot": 1, "text": "It scatters."}
    assert len(api.judgments()) == 2


def test_what_is_half_written_survives_a_reload(browser: Any) -> None:
    with fake_rating(FakeTask([("user", "q")], ["a", "b"])) as api, rating(browser, api) as page:
        press(page, "r")
        page.keyboard.type("half a th")
        page.reload()
        ready(page)
        press(page, "r")
        assert page.input_value("#rationale") == "half a th"


def test_a_refused_judgment_says_why_and_the_task_stays(browser: Any) -> None:
    with fake_rating(pair("one"), pair("two")) as api, rating(browser, api) as page:
        api.refusal = (422, "bad_answer")
        press(page, "1")
        page.wait_for_selector("[data-kind=refused]")
        assert "Refused with bad_answer. Go on." in page.text_content("#notices")
        ready(page)
        assert page.text_content("#prompt").strip() == "one"
        assert kept(page, "outbox") == []
        judge(page, api, "2")
    assert len(api.judgments()) == 1


def test_signed_out_then_in_again_sends_what_waited_for_this_account_only(browser: Any) -> None:
    with fake_rating(pair("one"), pair("two"), pair("three")) as api, rating(browser, api) as page:
        api.trouble = 401
        press(page, "1")
        page.wait_for_selector("body[data-state=still]")
        assert page.text_content("#still-title") == "You are signed out"
        assert "kept on this device for your account" in page.text_content("#still-text")
        assert page.locator("#desk").is_hidden()
        page.click("#still-buttons a")
        page.wait_for_url("**/sign-in?next=%2Frate%2Fsky")
        api.trouble, api.account = 0, "acc-otto"
        page.click("main a")
        ready(page)
        assert api.judgments() == [], "it is Rita's, and Otto is signed in"
        assert page.text_content("#prompt").strip() == "one"
        api.account = "acc-rita"
        page.reload()
        ready(page)
        assert page.text_content("#prompt").strip() == "two"
    assert len(api.judgments()) == 1


def test_a_page_with_an_old_token_asks_to_be_loaded_again(browser: Any) -> None:
    with fake_rating(pair("one"), pair("two")) as api, rating(browser, api) as page:
        page.evaluate("document.querySelector('meta[name=csrf]').setAttribute('content', 'old')")
        press(page, "1")
        page.click("#still-buttons button:has-text('Load the page again')")
        page.wait_for_selector("body[data-state=task]")
        ready(page)
        assert page.text_content("#prompt").strip() == "two"
    assert len(api.judgments()) == 1


def test_the_second_tab_says_so(browser: Any) -> None:
    with fake_rating(pair("one"), pair("two")) as api, rating(browser, api) as page:
        problems: list[str] = []
        second = watched(page.context, api.url, problems)
        second.goto(f"{api.url}/rate/sky")
        second.wait_for_selector("body[data-state=still]")
        assert second.text_content("#still-title") == "You are rating in another tab"
        press(second, "1")
        assert api.tried == []
        second.click("#still-buttons button:has-text('Rate here instead')")
        ready(second)
        page.wait_for_selector("body[data-state=still]")
        press(page, "1")
        judge(second, api, "1")
        assert page.text_content("#still-title") == "You are rating in another tab"
        second.close()
        page.click("#still-buttons button")
        ready(page)
        assert problems == []
    assert len(api.judgments()) == 1


def test_a_browser_that_keeps_nothing_says_so_and_still_works(browser: Any) -> None:
    with fake_rating(pair("one"), pair("two")) as api, rating(browser, api, opened=False) as page:
        page.add_init_script(
            "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }"
        )
        page.goto(f"{api.url}/rate/sky")
        ready(page)
        page.route(JUDGMENT, lambda route: route.abort(), times=1)
        press(page, "1")
        page.wait_for_selector("[data-kind=unsafe]")
        ready(page)
        assert page.text_content("#prompt").strip() == "two"
    assert len(api.judgments()) == 1


def test_no_tasks_then_some(browser: Any) -> None:
    with fake_rating() as api, rating(browser, api, opened=False) as page:
        page.goto(f"{api.url}/rate/sky")
        page.wait_for_selector("body[data-state=still]")
        assert page.text_content("#still-title") == "Nothing left for now"
        api.tasks.append(pair("late"))
        page.click("#still-buttons button")
        ready(page)
        assert page.text_content("#prompt").strip() == "late"


def test_an_undo_whose_answer_got_lost_takes_one_judgment_back(browser: Any) -> None:
    with fake_rating(pair("one"), pair("two"), pair("three")) as api, rating(browser, api) as page:
        judge(page, api, "1")
        judge(page, api, "2")
        page.route(re.compile(r"/undo$"), cut_after_the_server, times=1)
        press(page, "z")
        page.wait_for_selector("#notices .note[data-kind=undone]")
        ready(page)
        assert page.text_content("#prompt").strip() == "two"
    assert api.retracted == 1
    assert len(api.tried) == 4 and len(set(api.tried)) == 3
