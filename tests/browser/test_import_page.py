"""Sending a file from the console in Chromium: what is told, what is stored, and what a lost connection leaves."""

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checked_tab import PHONE, checked_tab
from governance_site import GovernanceSite, governance
from insight_site import served
from rating_browser import launched

from backstay.web import uploads
from backstay.web.api import imports
from backstay.web.permissions import Role

axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
pytestmark = pytest.mark.browser
IMPORTS = re.compile(r"/imports\?")
ROW = {"response_a": "Short waves scatter more.", "response_b": "It is paint.", "choice": "a", "rater": "r-far"}
HOSTILE = "<img src=x onerror=document.title=1>"
LOOKS: dict[str, dict[str, Any]] = {"desktop": {}, "dark": {"color_scheme": "dark"}, "phone": {"viewport": PHONE}}


def rows(*prompts: str, choice: str = "a") -> bytes:
    return b"".join(json.dumps(ROW | {"prompt": prompt, "choice": choice}).encode() + b"\n" for prompt in prompts)


def given(content: bytes, name: str = "rows.jsonl") -> dict[str, Any]:
    """A file as a browser is handed one."""
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


BROKEN = rows("Why is the sky red?") + rows("Why is the sky black?", choice=HOSTILE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as made:
        yield made


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[GovernanceSite, str]]:
    with governance(tmp_path, prompts=1) as made, served(made.site) as url:
        yield made, url


@contextlib.contextmanager
def tab(
    browser: Any, site: tuple[GovernanceSite, str], *, opened: bool = True, expected: str = "", **options: Any
) -> Iterator[Any]:
    """The page of imports as a lead sees it; refusals are told in the browser's console too."""
    made, url = site
    cookies = {made.site.accounts.cookie: made.browser(Role.LEAD).cookie}
    with checked_tab(browser, url, cookies, expected=expected or None, **options) as page:
        if opened:
            page.goto("/lead/p/import")
        yield page


def send(page: Any, content: bytes, name: str = "rows.jsonl") -> None:
    page.get_by_label("File", exact=True).set_input_files(given(content, name))
    page.get_by_role("button", name="Import").click()


def told(page: Any) -> str:
    """The title of what became of it, which has the focus."""
    page.wait_for_selector("#outcome-title")
    assert page.evaluate("document.activeElement.id") == "outcome-title"
    return str(page.inner_text("#outcome-title"))


def counts(page: Any) -> dict[str, str]:
    cells = page.locator("[data-count]").all()
    return {cell.get_attribute("data-count"): cell.inner_text() for cell in cells}


def judgments(made: GovernanceSite, dataset: str = "d") -> int:
    return sum(1 for _ in made.repository.judgments(dataset))


def test_a_new_project_gets_its_first_file_and_its_items_are_rated(
    browser: Any, site: tuple[GovernanceSite, str]
) -> None:
    with tab(browser, site, opened=False) as page:
        page.goto("/lead/new")
        page.get_by_label("Name", exact=True).fill("Colours")
        page.get_by_label("Id", exact=True).fill("colours")
        page.get_by_label("Data set", exact=True).select_option("")
        page.get_by_label("Name of the new data set").fill("fresh")
        page.get_by_role("button", name="Make the project").click()
        page.wait_for_url("**/lead/colours/import")
        send(page, rows("Why is the sky blue?", "Why is the sea blue?"))
        assert told(page) == "2 judgments stored"
        assert counts(page) == {
            "rows": "2",
            "judgments": "2",
            "prompts": "2",
            "responses": "4",
            "tasks": "2",
            "raters": "1",
            "duplicates": "0",
            "known": "0",
            "refused": "0",
            "items_made": "2",
        }
        assert page.evaluate("document.querySelector('#file').files.length") == 0
        page.get_by_role("link", name="Rate a few tasks").click()
        page.wait_for_selector("#prompt :text('blue?')")
    assert judgments(site[0], "fresh") == 2


@pytest.mark.parametrize(
    ("name", "content", "made"),
    [
        (
            "pairs.csv",
            b"prompt,response_a,response_b\nWhy is the choice blue?,Light.,Paint.\nWhy red?,Dusk.,Rust.\n",
            2,
        ),
        ("same.jsonl", b'{"prompt": "And the choice?", "responses": ["Light.", "Paint.", "Rust."]}\n' * 2, 1),
        ("pairs.json", b'[{"prompt": "And red?", "response_a": "Dusk.", "response_b": "Rust."}]', 1),
    ],
)
def test_responses_that_nobody_has_judged_are_asked_of_raters(
    browser: Any, site: tuple[GovernanceSite, str], name: str, content: bytes, made: int
) -> None:
    """That they are such is told by the file's name and first line."""
    with tab(browser, site) as page:
        send(page, content, name)
        assert told(page) == f"{made} task{'s' if made > 1 else ''} stored"
        assert counts(page)["items_made"] == str(made) and counts(page)["judgments"] == "0"
    assert judgments(site[0]) == 0


def test_options_go_along_and_the_same_file_again_stores_nothing(
    browser: Any, site: tuple[GovernanceSite, str]
) -> None:
    made, _ = site
    messages = json.dumps([{"role": "user", "content": "Why is the sky blue?"}])
    table = 'prompt,response_a,response_b,choice,rater\n"{}",Waves.,Paint.,a,r-far\n'.format(
        messages.replace('"', '""')
    )
    with tab(browser, site) as page:
        page.get_by_role("radio", name="Parquet table").check()
        page.get_by_role("radio", name="CSV table").check()
        page.get_by_text("More options").click()
        for _ in range(2):
            page.get_by_label("Dimension").select_option("helpful")
            page.get_by_label("Held-out share").fill("0")
            page.get_by_label("Prompts of a table are").select_option("messages")
            send(page, table.encode(), "rows.csv")
            title = told(page)
        assert title == "Nothing new: all of this was stored before"
        assert (counts(page)["judgments"], counts(page)["known"]) == ("0", "1")
    assert "helpful" in {task.dimension for task in made.repository.tasks("d")} and judgments(made) == 1
    assert any(prompt.messages[0].content == "Why is the sky blue?" for prompt in made.repository.prompts("d"))


def test_a_broken_file_is_refused_with_places_then_its_good_rows_are_stored(
    browser: Any, site: tuple[GovernanceSite, str]
) -> None:
    made, _ = site
    with tab(browser, site, expected="422") as page:
        send(page, BROKEN, "<b>rows.jsonl")
        assert told(page) == "Nothing was stored: 1 row refused"
        cells = page.locator(".refused tbody td").all_inner_texts()
        column = BROKEN.splitlines()[1].decode().index('"<img') + 1
        assert cells[:3] == ["2", str(column), "choice"] and HOSTILE in cells[3]
        assert page.inner_text("#outcome .file-name") == "<b>rows.jsonl"
        assert page.locator("#outcome img, #import img").count() == 0 and page.title() != "1"
        assert judgments(made) == 0
        page.get_by_role("button", name="Store the good rows").click()
        page.wait_for_selector("#outcome-title:has-text('1 judgment stored')")
        assert (judgments(made), counts(page)["refused"]) == (1, "1")
        assert "as a file of their own" in page.inner_text("#outcome")
        with page.expect_download() as waiting:
            page.get_by_role("link", name="Rejects file").click()
        (reject,) = Path(waiting.value.path()).read_text().splitlines()
        assert (json.loads(reject)["line"], json.loads(reject)["column"]) == (2, column)


def test_of_many_bad_rows_the_first_are_shown_and_the_others_counted(
    browser: Any, site: tuple[GovernanceSite, str]
) -> None:
    with tab(browser, site, expected="422") as page:
        send(page, b"{}\n" * 1234)
        assert told(page) == "Nothing was stored: 1\u202f234 rows refused"
        assert page.locator(".refused tbody tr").count() == 20
        assert "and 1\u202f214 more in the rejects file" in page.inner_text("#outcome")
        assert page.get_by_role("button", name="Store the good rows").count() == 0


def test_a_file_that_is_no_table_is_refused_under_its_own_name(browser: Any, site: tuple[GovernanceSite, str]) -> None:
    with tab(browser, site, expected="422") as page:
        send(page, b"a,b\n1,2\n", f"{HOSTILE}.csv")
        assert told(page) == "Nothing was stored: the file was refused"
        assert f"{HOSTILE}.csv has no column 'prompt'" in page.inner_text("#outcome")
        assert page.locator("main img").count() == 0 and page.title() != "1"


def test_a_connection_that_is_cut_keeps_the_file_and_another_try_stores_it_once(
    browser: Any, site: tuple[GovernanceSite, str]
) -> None:
    made, _ = site
    with tab(browser, site, expected="Failed to load resource") as page:
        page.get_by_role("radio", name="JSON lines", exact=True).check()
        page.route(IMPORTS, lambda route: route.abort("connectionreset"), times=1)
        send(page, rows("Why is the sky blue?"))
        assert told(page) == "The connection was lost"
        assert judgments(made) == 0 and page.evaluate("document.querySelector('#file').files[0].name") == "rows.jsonl"
        assert page.get_by_role("radio", name="JSON lines", exact=True).is_checked()
        page.route(IMPORTS, lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"), times=1)
        page.get_by_role("button", name="Send it again").click()
        page.wait_for_selector("#outcome-title:has-text('The server failed (502)')")
        assert "nothing is stored twice" in page.inner_text("#outcome")
        page.route(IMPORTS, lambda route: (route.fetch(), route.abort("connectionreset")), times=1)
        page.get_by_role("button", name="Send it again").click()
        page.wait_for_selector("#outcome-title:has-text('The connection was lost')")
        assert judgments(made) == 1
        page.get_by_role("button", name="Send it again").click()
        page.wait_for_selector("#outcome-title:has-text('Nothing new')")
    assert judgments(made) == 1


def test_other_refusals_are_told_in_the_servers_words_and_a_signed_out_lead_is_sent_to_sign_in(
    browser: Any, site: tuple[GovernanceSite, str]
) -> None:
    made, url = site
    with tab(browser, site, expected="Failed to load resource") as page:
        page.evaluate("document.querySelector('#heldout').removeAttribute('max')")
        page.get_by_text("More options").click()
        page.get_by_label("Held-out share").fill("7")
        send(page, rows("Why is the sky blue?"))
        assert told(page) == "Nothing was stored: the server refused the request"
        assert "query.heldout_share: Input should be less than 1." in page.inner_text("#outcome")
        page.get_by_label("Held-out share").fill("0")
        page.context.clear_cookies()
        page.get_by_role("button", name="Send it again").click()
        page.wait_for_selector("#outcome-title:has-text('you are signed out')")
        page.get_by_role("link", name="Sign in").click()
        page.wait_for_url(f"{url}/sign-in?next=*")
    assert judgments(made) == 0


def test_a_file_that_is_too_large_is_told_before_it_is_sent_and_after(
    browser: Any, site: tuple[GovernanceSite, str]
) -> None:
    with tab(browser, site, expected="413") as page:
        page.route(IMPORTS, lambda route: route.fulfill(status=413, body="too large"), times=1)
        send(page, rows("Why is the sky blue?"))
        assert told(page) == "Nothing was stored: the file is too large"
        assert page.evaluate("document.querySelector('#file').files.length") == 1
        page.evaluate("document.querySelector('#file').value = ''")
        page.route(IMPORTS, lambda route: pytest.fail("it was sent"))
        page.evaluate("Object.defineProperty(File.prototype, 'size', {value: 3e9})")
        send(page, rows("Why is the sky blue?"))
        page.wait_for_selector("#outcome:has-text('It has 3.00 GB; the server takes 2.00 GB at most.')")


def test_a_file_that_changed_after_it_was_chosen_is_asked_for_again(
    browser: Any, site: tuple[GovernanceSite, str], tmp_path: Path
) -> None:
    made, _ = site
    path = tmp_path / "rows.jsonl"
    path.write_bytes(BROKEN)
    with tab(browser, site, expected="422") as page:
        page.get_by_label("File", exact=True).set_input_files(path)
        page.get_by_role("button", name="Import").click()
        assert told(page) == "Nothing was stored: 1 row refused"
        path.write_bytes(rows("Why is the sky red?"))
        page.get_by_role("button", name="Import").click()
        page.wait_for_selector("#outcome-title:has-text('the file cannot be read')")
        page.get_by_label("File", exact=True).set_input_files(path)
        page.get_by_role("button", name="Import").click()
        page.wait_for_selector("#outcome-title:has-text('1 judgment stored')")
    assert judgments(made) == 1


def test_progress_is_shown_while_bytes_go_up_and_cancelling_stores_nothing(
    browser: Any, site: tuple[GovernanceSite, str]
) -> None:
    made, _ = site
    with tab(browser, site) as page:
        network = page.context.new_cdp_session(page)
        network.send("Network.enable")
        slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
        network.send("Network.emulateNetworkConditions", slow)
        send(page, rows(*(f"Why {n}?" for n in range(30_000))))
        page.wait_for_function("() => (b => b.position > 0 && b.position < 1)(document.querySelector('#bar'))")
        assert page.get_by_role("button", name="Import").is_disabled()
        assert page.inner_text("#stage") == "Sending the file" == page.inner_text("#live").rstrip(".")
        assert re.search(r"of 3\.92 MB, \d+ %", page.inner_text("#amount"))
        assert page.evaluate("!dispatchEvent(new Event('beforeunload', {cancelable: true}))")
        page.get_by_role("button", name="Cancel").click()
        assert told(page) == "Cancelled: nothing was stored"
        assert page.evaluate("dispatchEvent(new Event('beforeunload', {cancelable: true}))")
        assert not page.get_by_role("button", name="Import").is_disabled()
    assert judgments(made) == 0


def test_what_is_at_the_server_is_said_to_be_stored_and_cannot_be_sent_twice(
    browser: Any, site: tuple[GovernanceSite, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = site
    goes_on, seen, stored = threading.Event(), [], uploads.stored

    async def waits(*given: Any) -> Any:
        seen.append(given)
        await asyncio.to_thread(goes_on.wait, 30)
        return await stored(*given)

    monkeypatch.setattr(imports, "stored", waits)
    with tab(browser, site) as page:
        send(page, rows("Why is the sky blue?"))
        page.wait_for_selector("#stage:has-text('Checking and storing')")
        assert "Checking and storing" in page.inner_text("#live")
        assert page.locator("#bar:indeterminate").count() == 1
        assert not page.get_by_role("button", name="Cancel").is_visible()
        page.evaluate("document.querySelector('#import').dispatchEvent(new Event('submit', {cancelable: true}))")
        goes_on.set()
        assert told(page) == "1 judgment stored"
    assert (len(seen), judgments(made)) == (1, 1)


def test_a_file_is_dropped_on_the_page(browser: Any, site: tuple[GovernanceSite, str]) -> None:
    with tab(browser, site) as page:
        page.evaluate(
            """text => {
            const data = new DataTransfer();
            data.items.add(new File([text], "rows.jsonl"));
            for (const kind of ["dragover", "drop"])
                document.body.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: data}));
            }""",
            rows("Why is the sky blue?").decode(),
        )
        assert page.inner_text("#chosen").startswith("rows.jsonl, ")
        assert page.get_by_role("radio", name="JSON lines", exact=True).is_checked()
        page.get_by_role("button", name="Import").click()
        assert told(page) == "1 judgment stored"


def tab_to(page: Any, wanted: Any) -> None:
    """Press Tab until this has the focus."""
    for _ in range(20):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab does not reach {wanted}")


def test_by_keyboard_alone(browser: Any, site: tuple[GovernanceSite, str]) -> None:
    made, _ = site
    with tab(browser, site, expected="422") as page:
        page.on("filechooser", lambda _: None)  # From now on choosers are caught, so that the one below is.
        page.get_by_role("link", name="Import", exact=True).focus()
        tab_to(page, page.get_by_label("File", exact=True))
        with page.expect_file_chooser() as waiting:
            page.keyboard.press("Enter")
        waiting.value.set_files(given(BROKEN))
        tab_to(page, page.get_by_role("radio", name="JSON lines", exact=True))
        page.keyboard.press("ArrowDown")
        assert page.get_by_role("radio", name="Parquet table").is_checked()
        page.keyboard.press("ArrowUp")
        tab_to(page, page.get_by_text("More options"))
        page.keyboard.press("Enter")
        tab_to(page, page.get_by_label("Dimension"))
        page.keyboard.press("h")
        assert page.get_by_label("Dimension").input_value() == "helpful"
        tab_to(page, page.get_by_role("button", name="Import"))
        page.keyboard.press("Space")
        assert told(page) == "Nothing was stored: 1 row refused"
        tab_to(page, page.get_by_role("button", name="Store the good rows"))
        page.keyboard.press("Enter")
        page.wait_for_selector("#outcome-title:has-text('1 judgment stored')")
    assert "helpful" in {task.dimension for task in made.repository.tasks("d")}


@pytest.mark.parametrize("look", list(LOOKS))
def test_axe_finds_nothing_in_any_state_and_no_state_is_wider_than_the_window(
    browser: Any, site: tuple[GovernanceSite, str], look: str
) -> None:
    long = rows("Why is the sky red?") + rows("Why?", choice="x" * 300) * 30

    def check(page: Any, state: str) -> None:
        found = axe_api.Axe().run(page).response["violations"]
        assert [(row["id"], row["nodes"][0]["target"]) for row in found] == [], (look, state)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (look, state)

    with tab(browser, site, expected="422", **LOOKS[look]) as page:
        page.get_by_text("More options").click()
        check(page, "form")
        page.evaluate("for (const id of ['sending', 'stage']) document.getElementById(id).hidden = false")
        page.evaluate("document.getElementById('stage').textContent = 'Checking and storing'")
        check(page, "sending")
        page.evaluate("for (const id of ['sending', 'stage']) document.getElementById(id).hidden = true")
        send(page, long, "x" * 200 + ".jsonl")
        assert told(page) == "Nothing was stored: 30 rows refused"
        check(page, "refused")
        page.get_by_role("button", name="Store the good rows").click()
        page.wait_for_selector("#outcome-title:has-text('1 judgment stored')")
        check(page, "stored in part")


def test_without_script_the_page_names_the_other_ways(browser: Any, site: tuple[GovernanceSite, str]) -> None:
    with tab(browser, site, java_script_enabled=False) as page:
        text = page.inner_text("main")
        assert "backstay import FORMAT PATH --dataset d" in text and "POST /api/v1/projects/p/imports" in text
        assert not page.locator("#import").is_visible()
