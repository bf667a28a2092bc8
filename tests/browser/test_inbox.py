"""The inbox in Chromium: by keyboard alone, on a desktop and on a phone, light and dark, with and without script."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from approval_world import needs, token_of
from checked_tab import DESKTOP, PHONE, checked_tab
from inbox_site import Site, inbox

from backstay.guard.approvals import Settings

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path"),
]
SIZES = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]
HOSTILE: dict[str, Any] = {
    "script": "<script>window.hurt = 1</script>",
    "svg": "<svg onload='window.hurt = 1'><a href='javascript:window.hurt=1'>x</a></svg>",
    "style": "}</style><style>* { display: none }</style>",
    "close": "</pre></section></main><form action='https://evil.example'><button>Approve</button></form>",
    "bidi": "\u202egnp.exe \u2066\u2067 p\u0430ypal",
    "marks": "Z\u0351\u036b\u0343" * 400,
    "nul": "\x00\x1b[2J",
    "k<b>\u200b": ["\u2028", "\ufeff", "\U000e0041"],
    "line": "A" * 250_000,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with inbox(tmp_path, Settings(webhooks=("pager",))) as made:
        yield made


@contextlib.contextmanager
def tab(browser: Any, site: Site, person: str = "", **options: Any) -> Iterator[Any]:
    """A page of a browser of its own, signed in; whatever the page logs as an error fails the test."""
    with checked_tab(browser, site.url, {}, expected="Failed to load resource", **options) as page:
        if person:
            sign_in(page, site, person)
        yield page


def sign_in(page: Any, site: Site, person: str) -> None:
    page.goto(f"{site.url}/approvals/sign-in")
    page.fill("#person", person)
    page.fill("#token", token_of(person))
    page.click("button.main")
    page.wait_for_url("**/approvals")


def tab_to(page: Any, selector: str) -> None:
    """Press Tab until the element has the focus, and see that the focus can be seen."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            break
    else:
        raise AssertionError(f"no number of tabs leads to {selector}")
    style = "e => { const s = getComputedStyle(e); return s.outlineStyle + ' ' + s.outlineWidth }"
    seen = page.evaluate(
        f"() => [document.activeElement, document.activeElement.closest('.row')].filter(Boolean).map({style})"
    )
    assert "solid 3px" in seen, seen


def votes(site: Site, approval_id: str) -> list[tuple[str, str]]:
    return [(vote.person, vote.vote) for vote in site.world.approvals.get(approval_id).votes]


@pytest.mark.parametrize("size", SIZES)
def test_a_whole_approval_by_keyboard(browser: Any, site: Site, size: dict[str, int]) -> None:
    asked = site.world.ask(obligations=needs((1, "finance")))
    with tab(browser, site, viewport=size) as page:
        page.goto(f"{site.url}/approvals/{asked}")
        page.wait_for_function("() => document.activeElement.matches('input[autofocus]')")
        page.keyboard.type("alice")
        tab_to(page, "#token")
        page.keyboard.type(token_of("alice"))
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert page.url == f"{site.url}/approvals/{asked}"
        tab_to(page, "nav a")
        page.keyboard.press("Enter")
        page.wait_for_url("**/approvals")
        tab_to(page, ".row a")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/approvals/{asked}")
        tab_to(page, "#rendered")
        assert page.text_content("#rendered").encode() == site.world.approvals.rendered(asked)
        tab_to(page, "#reason")
        page.keyboard.type("checked by telephone")
        tab_to(page, "button[value=approve]")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert "Your approval is recorded." in page.text_content(".note.good")
        assert site.world.state(asked) == "approved"
        assert site.world.approvals.get(asked).votes[0].reason == "checked by telephone"
        tab_to(page, ".account button")
        page.keyboard.press("Enter")
        page.wait_for_url("**/approvals/sign-in")
        page.goto(f"{site.url}/approvals/{asked}")
        assert "sign-in" in page.url


@pytest.mark.parametrize("size", SIZES)
def test_deny_asks_for_a_reason(browser: Any, site: Site, size: dict[str, int]) -> None:
    asked = site.world.ask()
    with tab(browser, site, "alice", viewport=size) as page:
        page.goto(f"{site.url}/approvals/{asked}")
        page.click("button[value=deny]")
        assert page.evaluate("document.querySelector('#reason:invalid') !== null")
        assert votes(site, asked) == []
        page.fill("#reason", "we never ordered this")
        with page.expect_navigation():
            page.click("button[value=deny]")
        assert page.text_content(".state") == "Denied"
        page.click("text=Decided")
        page.wait_for_url("**/done")
        assert "denied by alice" in page.text_content(".row")
    assert votes(site, asked) == [("alice", "deny")]


def test_edit_then_another_person_approves(browser: Any, site: Site) -> None:
    asked = site.world.ask(obligations=needs((1, "finance")))
    with tab(browser, site, "alice") as page:
        page.goto(f"{site.url}/approvals/{asked}")
        page.focus("summary:has-text('Edit')")
        page.keyboard.press("Enter")
        page.fill("#args", '{"amount": 60, "to": "DE89"}')
        with page.expect_navigation():
            page.click("#edit button")
        edited = page.url.rpartition("/")[2]
        assert page.locator(".diff del").text_content() == '- ["args"]["amount"]: 100\n'
        assert page.locator(".diff ins").text_content() == '+ ["args"]["amount"]: 60\n'
        assert page.locator("#decide").count() == 0
        assert "You edited this" in page.text_content(".whynot")
    with tab(browser, site, "bob", viewport=PHONE) as page:
        page.goto(f"{site.url}/approvals/{asked}")
        page.click("text=Show what took its place")
        page.wait_for_url(f"**/{edited}")
        page.click("text=To the decision")
        with page.expect_navigation():
            page.click("button[value=approve]")
    assert site.world.state(edited) == "approved"
    assert site.world.state(asked) == "superseded"


def test_requester_finds_no_form(browser: Any, site: Site) -> None:
    asked = site.world.ask()
    with tab(browser, site, "rita") as page:
        assert "You asked for this" in page.text_content(".row")
        page.goto(f"{site.url}/approvals/{asked}")
        assert "You asked for this, so you cannot decide on it." in page.text_content(".whynot")
        assert page.locator("main form").count() == 0


def test_expired_while_looking(browser: Any, site: Site) -> None:
    asked = site.world.ask()
    with tab(browser, site, "alice") as page:
        page.goto(f"{site.url}/approvals/{asked}")
        site.world.now_s += 3600
        with page.expect_navigation():
            page.click("button[value=approve]")
        assert "This expired before your decision" in page.text_content("#problem")
        assert page.evaluate("document.activeElement.id") == "problem"
        assert page.locator("#decide").count() == 0
    assert votes(site, asked) == []


def test_the_countdown_closes_the_forms(browser: Any, site: Site) -> None:
    asked = site.world.ask(obligations=needs((1, "finance"), expires_s=3600))
    site.world.now_s += 3598
    with tab(browser, site, "alice") as page:
        page.goto(f"{site.url}/approvals/{asked}")
        assert page.locator(".left.soon").count() == 1
        page.wait_for_selector("#changed", state="visible")
        assert page.locator("button[value=approve]").is_disabled()


def test_what_another_person_does_is_told_and_never_swapped_under_the_reader(browser: Any, site: Site) -> None:
    asked = site.world.ask()
    with tab(browser, site, "alice") as page:
        page.goto(f"{site.url}/approvals/{asked}")
        page.fill("#reason", "half typed")
        site.world.vote(asked, "bob", "deny")
        page.wait_for_selector("#changed", state="visible")
        assert page.input_value("#reason") == "half typed"
        assert page.locator("button[value=approve]").is_disabled()
        page.click("text=Show it as it is now")
        page.wait_for_selector(".state.bad")


def test_the_list_follows_by_itself_and_keeps_the_focus(browser: Any, site: Site) -> None:
    first = site.world.ask(tool="mail.send")
    with tab(browser, site, "alice") as page:
        page.focus(f"a[href='/approvals/{first}']")
        second = site.world.ask(tool="crm.export")
        page.wait_for_selector(f"a[href='/approvals/{second}']")
        assert page.evaluate("document.activeElement.getAttribute('href')") == f"/approvals/{first}"
        assert page.text_content("#live") == "2 calls wait now"
        assert page.title().startswith("(2) ")
        for asked in (first, second):
            site.world.vote(asked, "bob", "deny")
        page.wait_for_selector(".empty")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_double_click_is_one_vote(browser: Any, site: Site, script: bool) -> None:
    asked = site.world.ask()
    with tab(browser, site, "alice", java_script_enabled=script) as page:
        page.goto(f"{site.url}/approvals/{asked}")
        page.dblclick("button[value=approve]", no_wait_after=True)
        page.wait_for_selector("text=You approved this")
    assert votes(site, asked) == [("alice", "approve")]
    assert site.world.state(asked) == "pending"


def test_signed_out_elsewhere_clears_the_screen(browser: Any, site: Site) -> None:
    site.world.ask(tool="secret.tool")
    with tab(browser, site, "alice") as page:
        page.wait_for_selector("text=secret.tool")
        del site.world.roles["alice"]
        site.world.ask(tool="other.tool")
        page.wait_for_url("**/sign-in**")
        assert "secret.tool" not in page.content()


@pytest.mark.hostile
@pytest.mark.parametrize("size", SIZES)
def test_hostile_arguments(browser: Any, site: Site, size: dict[str, int]) -> None:
    words = "<img src=x onerror='window.hurt = 1'>\u202e"
    asked = site.world.ask(args=HOSTILE, tool=words, session="<b>" * 300, reasons=(words * 30,), rules=(words,))
    with tab(browser, site, "alice", viewport=size) as page:
        for path in ("/approvals", f"/approvals/{asked}"):
            page.goto(site.url + path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page does not run sideways"
            assert page.evaluate("window.hurt === undefined")
            assert page.locator("img, main svg a, main script, main style").count() == 0
        assert page.text_content("#rendered").encode() == site.world.approvals.rendered(asked)
        assert page.evaluate("document.querySelectorAll('form').length") == 3
        frame = page.locator("#rendered")
        assert frame.evaluate("e => e.scrollWidth <= e.clientWidth && e.scrollHeight > e.clientHeight")
        frame.focus()
        page.keyboard.press("End")
        frame.evaluate(
            "e => new Promise(done => { (function look() { e.scrollTop > 1000 ? done() : setTimeout(look, 20) })() })"
        )
        page.fill("#reason", "no")
        with page.expect_navigation():
            page.click("button[value=deny]")
    assert site.world.state(asked) == "denied"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing(browser: Any, site: Site, size: dict[str, int], scheme: str) -> None:
    world = site.world
    asked = world.ask(reasons=("more than 10,000",), rules=("large",), args={"amount": 1, "b": "\u202e"})
    world.vote(asked, "bob")
    denied, link = world.ask(), world.approvals.make_link(asked, "alice")
    world.vote(denied, "bob", "deny")
    first = world.ask()
    form_of = site.client().sign_in("bob")
    answer = form_of.post(f"/approvals/{first}/edit", form_of.form(first) | {"args": '{"amount": 5}'})
    paths = ["/approvals", "/approvals/done", f"/approvals/{asked}", f"/approvals/{denied}", f"/approvals/link/{link}"]
    axe = axe_api.Axe()
    with tab(browser, site, "erin", viewport=size, color_scheme=scheme) as page:
        for path in [
            *paths,
            answer.headers["location"],
            "/approvals/nothing",
            "/approvals/sign-in?next=/approvals/done",
        ]:
            page.goto(site.url + path)
            for summary in page.locator("summary").all():
                summary.click()
            found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]})
            assert found.violations_count == 0, f"{path}: {found.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
