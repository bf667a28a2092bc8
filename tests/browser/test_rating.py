"""The rating page in Chromium: whole sessions by keyboard, on a desktop and on a phone, and what is sent."""

from collections.abc import Iterator
from typing import Any

import pytest
from fake_rating_api import FakeTask, fake_rating, pair
from rating_browser import DESKTOP, PHONE, SIZES, judge, launched, press, rating, ready

pytestmark = pytest.mark.browser
THREE = ["helpful", "harmless", "honest"]
FOUR = FakeTask([("user", "Name a colour.")], ["red", "blue", "*green*", "no"], kind="ranking")
FITS = "document.documentElement.scrollWidth <= innerWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as made:
        yield made


def answer(ranking: Any, strength: int | None = None, dimension: str = "overall") -> dict[str, Any]:
    return {"dimension": dimension, "ranking": ranking, "both_bad": ranking is None, "strength": strength}


@pytest.mark.parametrize("size", SIZES)
def test_a_whole_session_by_keyboard(browser: Any, size: dict[str, int]) -> None:
    tasks = [pair("one"), pair("two"), FakeTask([("user", "three")], ["a", "b"], dimensions=THREE), FOUR, pair("five")]
    with fake_rating(*tasks, pair("six")) as api, rating(browser, api, viewport=size) as page:
        assert page.text_content("#prompt").strip() == "one"
        judge(page, api, "1")
        press(page, "f", "a", "2", "f", "r")
        page.keyboard.type("B wanders off; 7 of 9 lines.")
        press(page, "Escape", "r")
        judge(page, api, "6")
        press(page, "3", "4", "a", "7")
        assert page.evaluate("document.body.dataset.state") == "task", "an answer a dimension, and none is sent yet"
        press(page, "b")
        judge(page, api, "d")
        press(page, "3", "1", "a", "2", "4")
        judge(page, api, "d")
        assert page.text_content("#prompt").strip() == "five"
        judge(page, api, "s", "2")
        judge(page, api, "b")
        assert "All done" in page.text_content("#still-title")
        assert page.evaluate(FITS)
    bodies = [body for _, _, body in api.answered]
    assert bodies[0]["answers"] == [answer([[0], [1]], 3)]
    assert bodies[1]["answers"] == [answer([[1], [0]], 2)]
    assert bodies[1]["flags"] == [{"slot": 0, "flag": "unsafe"}]
    assert bodies[1]["rationale"] == "B wanders off; 7 of 9 lines."
    assert bodies[2]["answers"] == [
        answer([[0], [1]], 1, "helpful"),
        answer([[1], [0]], 3, "harmless"),
        answer(None, None, "honest"),
    ]
    assert bodies[3]["answers"] == [answer([[2], [0, 1], [3]])]
    assert bodies[4] == {"reason": "not_my_field", "note": ""}
    assert bodies[5]["answers"] == [answer(None)]
    assert all(0 <= body["duration_ms"] < 60_000 and body["away_ms"] == 0 for body in api.judgments())


@pytest.mark.parametrize(("key", "ranking", "strength"), [
    ("1", [[0], [1]], 3), ("2", [[0], [1]], 2), ("3", [[0], [1]], 1), ("4", [[0, 1]], None),
    ("5", [[1], [0]], 1), ("6", [[1], [0]], 2), ("7", [[1], [0]], 3), ("b", None, None),
])  # fmt: skip
def test_each_key_is_its_button(browser: Any, key: str, ranking: Any, strength: int | None) -> None:
    with fake_rating(pair(), pair()) as api, rating(browser, api) as page:
        judge(page, api, key)
        page.click(f".choice[aria-keyshortcuts='{key.upper()}']")
        page.wait_for_selector("body[data-state=still]")
    assert [body["answers"] for body in api.judgments()] == [[answer(ranking, strength)]] * 2


def test_without_strength_and_ties_two_keys_are_left(browser: Any) -> None:
    task = FakeTask(
        [("user", "q")], ["a", "b"], allow={"strength": False, "ties": False, "both_bad": False, "edit": False}
    )
    with fake_rating(task) as api, rating(browser, api) as page:
        assert page.locator(".choice").count() == 2
        assert page.locator("#edit").is_hidden()
        press(page, "3", "b", "e")
        judge(page, api, "2")
    assert api.judgments()[0]["answers"] == [answer([[1], [0]])]


def test_undo_brings_the_judgment_back_as_it_was_given(browser: Any) -> None:
    with fake_rating(pair("one"), pair("two")) as api, rating(browser, api) as page:
        press(page, "r")
        page.keyboard.type("because")
        press(page, "Escape", "r")
        judge(page, api, "2")
        judge(page, api, "z")
        assert page.text_content("#prompt").strip() == "one"
        assert page.get_attribute(".choice[data-choice='0-2']", "aria-pressed") == "true"
        assert "Taken back" in page.text_content("#notices")
        assert page.is_disabled("#undo")
        judge(page, api, "d")
        judge(page, api, "7")
        assert page.locator("#still-buttons button:has-text('Undo')").count() == 1
        press(page, "z")
        ready(page)
        assert page.text_content("#prompt").strip() == "two"
    assert [body["answers"] for body in api.judgments()] == [[answer([[0], [1]], 2)]]
    assert api.judgments()[0]["rationale"] == "because"
    assert api.retracted == 2


def test_places_by_mouse_with_ties(browser: Any) -> None:
    with fake_rating(FOUR) as api, rating(browser, api, viewport=PHONE) as page:
        for slot, place in ((0, 2), (1, 1), (2, 2), (3, 4)):
            page.click(f".response[data-slot='{slot}'] .place[data-place='{place}']")
        assert "2 > 1 = 3 > 4" in page.text_content(".order-words")
        assert page.get_attribute(".response[data-slot='1']", "class") == "response best"
        page.click("#submit")
        page.wait_for_selector("body[data-state=still]")
    assert api.judgments()[0]["answers"] == [answer([[1], [0, 2], [3]])]


def test_done_leads_to_what_is_missing(browser: Any) -> None:
    with fake_rating(FakeTask([("user", "q")], ["a", "b"], dimensions=THREE)) as api, rating(browser, api) as page:
        press(page, "1", "d")
        assert "Not answered yet: Harmless" in page.text_content("#live")
        assert page.get_attribute(".question.active", "data-dimension") == "harmless"
        press(page, "4", "4", "a")
        assert page.get_attribute(".question.active", "data-dimension") == "harmless"
        press(page, "7")
        judge(page, api, "Control+Enter")
    given = {one["dimension"]: one["ranking"] for one in api.judgments()[0]["answers"]}
    assert given == {"helpful": [[0], [1]], "harmless": [[1], [0]], "honest": [[0, 1]]}


def test_a_key_that_is_held_or_pressed_too_soon_judges_nothing(browser: Any) -> None:
    tasks = [pair(str(n)) for n in range(6)]
    with fake_rating(*tasks) as api, rating(browser, api) as page:
        page.keyboard.down("1")
        for _ in range(5):
            page.keyboard.down("1")
        page.keyboard.up("1")
        page.wait_for_function("() => document.getElementById('prompt').textContent.trim() === '1'")
        ready(page)
        page.evaluate("""() => {
            const key = () => document.dispatchEvent(new KeyboardEvent('keydown', { key: '1', code: 'Digit1' }));
            key(); key(); key();
            new MutationObserver(key).observe(document.getElementById('prompt'), { childList: true });
        }""")
        page.wait_for_function("() => document.getElementById('prompt').textContent.trim() === '2'")
        ready(page)
        page.dblclick(".choice[data-choice='0-3']")
        page.wait_for_function("() => document.getElementById('prompt').textContent.trim() === '3'")
        ready(page)
        assert page.text_content("#prompt").strip() == "3"
    assert len(api.judgments()) == 3
    assert len(api.tried) == 3


def test_single_keys_can_be_switched_off(browser: Any) -> None:
    with fake_rating(pair(), pair()) as api, rating(browser, api) as page:
        press(page, "q")
        page.uncheck("#setting-keys")
        press(page, "Escape", "1", "s")
        assert page.locator(".panel").count() == 0
        page.reload()
        ready(page)
        press(page, "1")
        page.click("#help")
        assert not page.is_checked("#setting-keys")
        page.check("#setting-keys")
        press(page, "Escape")
        judge(page, api, "1")
    assert len(api.judgments()) == 1


def test_marks_are_counted_in_code_points(browser: Any) -> None:
    text = "👩‍🚀 flies\r\nvery far\u202e away 🙂 and back"
    with fake_rating(pair("q", text, "b")) as api, rating(browser, api) as page:
        press(page, "v")
        source = page.locator(".source").first
        assert source.evaluate("e => e.textContent") == text
        press(page, *["ArrowRight"] * 4, "Shift+ArrowRight", "b")
        assert page.locator(".source mark.bad").text_content() == "far\u202e away"
        page.evaluate("""() => {
            const walker = document.createTreeWalker(document.querySelector('.source'), NodeFilter.SHOW_TEXT);
            while (!walker.nextNode().data.includes('and')) ;
            const at = walker.currentNode.data.indexOf('and');
            getSelection().setBaseAndExtent(walker.currentNode, at, walker.currentNode, at + 3);
        }""")
        page.click(".response[data-slot='0'] .marking-tools .good")
        assert "2 marks" in page.text_content(".response[data-slot='0'] .chips")
        assert source.evaluate("e => e.textContent") == text
        press(page, "Escape", "v")
        judge(page, api, "2")
    spans = api.judgments()[0]["spans"]
    assert [(text[span["start"] : span["end"]], span["label"], span["slot"]) for span in spans] == [
        ("far\u202e away", "bad", 0),
        ("and", "good", 0),
    ]


def test_an_improved_response_is_sent_only_when_it_differs(browser: Any) -> None:
    with fake_rating(pair(), pair()) as api, rating(browser, api) as page:
        press(page, "e", "2")
        assert page.input_value("#edit-text") == "It is *wet*."
        press(page, "Escape", "Escape")
        judge(page, api, "1")
        press(page, "e", "1")
        page.fill("#edit-text", "Air scatters short waves more.")
        press(page, "Escape")
        assert "improved" in page.text_content(".response[data-slot='0'] .chips")
        press(page, "Escape")
        judge(page, api, "1")
    assert [body["edit"] for body in api.judgments()] == [None, {"slot": 0, "text": "Air scatters short waves more."}]


def test_guidelines_beside_the_task(browser: Any) -> None:
    with fake_rating(pair(), pair()) as api, rating(browser, api) as page:
        assert "Read the guidelines" in page.text_content("#notices")
        press(page, "g")
        page.wait_for_selector("#guide-text h3")
        assert page.text_content("#guide-title") == "Guidelines, version 1"
        assert page.is_hidden("#guide-changed")
        assert page.locator("#notices .note").count() == 0
        api.guidelines.append("# New\n\n<b>now</b>")
        judge(page, api, "1")
        assert "you last read version 1" in page.text_content("#notices")
        press(page, "g", "g")
        page.wait_for_function("() => document.getElementById('guide-title').textContent.includes('2')")
        assert "Changed since you last read them" in page.text_content("#guide-changed")
        assert "<b>now</b>" in page.text_content("#guide-text")
        page.reload()
        ready(page)
        assert page.locator("#notices .note").count() == 0


def test_without_guidelines_the_panel_says_that_there_are_none(browser: Any) -> None:
    with fake_rating(pair(), guidelines=[]) as api, rating(browser, api) as page:
        page.keyboard.press("g")
        page.wait_for_selector("#guide-text:has-text('There are no guidelines yet')")
        assert page.inner_text("#guide-title") == "Guidelines" and page.is_hidden("#guide-changed")


def test_the_rater_of_a_link_is_told_once_that_all_is_done(browser: Any) -> None:
    with fake_rating(pair(), pair(), pair()) as api:
        api.wanted = 41
        with rating(browser, api) as page:
            assert "you are done" not in page.text_content("#notices")
            judge(page, api, "1")
            page.wait_for_selector("#notices h2:has-text('Thank you, you are done')")
            page.get_by_label("Close: Thank you").click()
            judge(page, api, "1")
            assert "you are done" not in page.text_content("#notices")
            assert page.get_attribute("body", "data-state") == "task"


def test_a_pause_and_an_empty_chair_count_as_away(browser: Any) -> None:
    with fake_rating(pair(), pair()) as api, rating(browser, api, opened=False) as page:
        page.clock.install()
        page.goto(f"{api.url}/rate/sky")
        page.wait_for_selector("body[data-state=task]")
        page.clock.run_for(10_000)
        press(page, "t")
        assert "You have judged 0 today, about 42 an hour" in page.text_content("#still-text")
        assert page.locator("#desk").is_hidden()
        page.clock.run_for(600_000)
        press(page, "1", "t")
        page.clock.run_for(5_000)
        page.mouse.move(5, 5)
        page.clock.run_for(400_000)
        press(page, "1")
        page.wait_for_function("() => document.getElementById('done-today').textContent === '1'")
    body = api.judgments()[0]
    assert body["duration_ms"] == pytest.approx(10_000 + 5_000 + 120_000, abs=2_000)
    assert body["away_ms"] == pytest.approx(600_000 + 280_000, abs=2_000)


def test_a_lease_is_renewed_while_somebody_is_there(browser: Any) -> None:
    task = pair()
    task.lease_s = 300
    with fake_rating(task) as api, rating(browser, api, opened=False) as page:
        page.clock.install()
        page.goto(f"{api.url}/rate/sky")
        page.wait_for_selector("body[data-state=task]")
        page.clock.run_for(150_000)
        assert api.renewed == 0
        page.mouse.move(9, 9)
        with page.expect_response("**/renew"):
            page.clock.run_for(60_000)
        page.clock.run_for(60_000)
        assert api.renewed == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing(browser: Any, size: dict[str, int], scheme: str) -> None:
    axe_api = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    rich = (
        "# T\n\n`c` [a](http://x.example) ![i](u)\n\n> q\n\n| a | b |\n|-|-|\n| 1 | "
        + "long " * 60
        + "|\n\n```py\n"
        + "x" * 400
    )
    tasks = [
        FakeTask(
            [("system", "be good"), ("user", "hi"), ("assistant", "ho"), ("user", "q")],
            [rich, "b\u202e " * 40 + "word " * 4000],
        ),
        FakeTask([("user", "three")], ["a", "b"], dimensions=THREE),
        FOUR,
    ]
    axe = axe_api.Axe()
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

    def check(place: str) -> None:
        found = axe.run(page, options={"runOnly": rules})
        assert found.violations_count == 0, f"{place}: {found.generate_report()}"
        assert page.evaluate(FITS), place
        small = page.evaluate(
            "() => [...document.querySelectorAll('button, .button, nav a, textarea')].filter(e => e.offsetParent &&"
            " (e.offsetWidth < 44 || e.offsetHeight < 44))"
            ".map(e => `${e.textContent} ${e.offsetWidth}x${e.offsetHeight}`)"
        )
        assert small == [], place

    with fake_rating(*tasks) as api, rating(browser, api, viewport=size, color_scheme=scheme) as page:
        check("task")
        for key in "sfreqgv":
            press(page, key)
            if key == "e":
                press(page, "1", "Escape")
            if key == "g":
                page.wait_for_selector("#guide-text h3")
            page.wait_for_timeout(150)
            check(f"after {key}")
            if key not in "gv":
                press(page, key)
        press(page, "v", "g", "t")
        check("paused")
        press(page, "t")
        judge(page, api, "1")
        press(page, "1", "2")
        page.wait_for_timeout(150)
        check("dimensions")
        judge(page, api, "3", "d")
        press(page, "1", "2", "a")
        page.wait_for_timeout(150)
        check("ranking")
        page.goto(f"{api.url}/rate")
        check("projects")


def test_zoomed_to_200_percent_the_answers_are_still_there(browser: Any) -> None:
    with (
        fake_rating(pair("q", "text " * 400, "b")) as api,
        rating(browser, api, viewport={"width": 640, "height": 430}) as page,
    ):
        assert page.evaluate(FITS)
        page.locator(".choice.bad").scroll_into_view_if_needed()
        page.click(".choice.bad")
        page.wait_for_selector("body[data-state=still]")


def test_the_focus_can_be_seen_and_goes_where_it_should(browser: Any) -> None:
    with fake_rating(pair(), pair()) as api, rating(browser, api, viewport=DESKTOP) as page:
        assert page.evaluate("document.activeElement.id") == "prompt-title"
        seen = []
        for _ in range(12):
            press(page, "Tab")
            seen.append(page.evaluate("document.activeElement.textContent"))
            style = page.evaluate(
                "() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle + s.outlineWidth }"
            )
            assert style == "solid3px", seen
        assert seen[:3] == ["much better1", "better2", "slightly better3"]
        press(page, "s")
        assert page.evaluate("document.activeElement.id") == "panel-title"
        press(page, "Escape")
        assert page.evaluate("document.activeElement.id") == "skip"


@pytest.mark.parametrize("dimensions", [["overall"], THREE])
@pytest.mark.parametrize("size", SIZES)
def test_the_scale_is_one_row_and_leaves_room_to_read(
    browser: Any, size: dict[str, int], dimensions: list[str]
) -> None:
    task = FakeTask([("user", "q")], ["a", "b"], dimensions=dimensions)
    with fake_rating(task) as api, rating(browser, api, viewport=size) as page:
        tops = "e => new Set([...e.querySelectorAll('.choice:not(.bad)')].map(one => one.offsetTop)).size"
        assert page.locator(".question.active .scale").evaluate(tops) == 1
        assert page.locator(".answer").evaluate("e => e.offsetHeight / innerHeight") < 0.4
        fits = """e => [...e.querySelectorAll('.choice span')].every(
            one => one.scrollWidth <= one.parentElement.clientWidth)"""
        assert page.locator(".question.active .scale").evaluate(fits)
