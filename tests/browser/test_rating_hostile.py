"""A hostile response in a real browser: no script runs, no request leaves, and the page stays ours."""

from collections.abc import Iterator
from typing import Any

import pytest
from fake_rating_api import FakeTask, fake_rating, pair
from rating_browser import SIZES, judge, launched, press, rating, ready

pytestmark = [pytest.mark.browser, pytest.mark.hostile]
HURT = "window.hurt = 1"
EVIL = "https://evil.example/pixel.png"
HOSTILE = f"""# <script>{HURT}</script>

<script>{HURT}</script><img src=x onerror="{HURT}"><svg onload="{HURT}"><style>*{{display:none}}</style></svg>
<link rel=stylesheet href={EVIL}><iframe srcdoc="<script>parent.{HURT}</script>"></iframe>
<meta http-equiv=refresh content="0;url={EVIL}"><base href={EVIL}>

</div></article></section></main><section class="answer"><form action="{EVIL}"><button id="submit">Done</button></form>

![pixel]({EVIL}) ![x](data:image/svg+xml,<svg/onload={HURT}>) [Done D](javascript:{HURT})
[data](data:text/html,<script>{HURT}</script>)

\u202esdrawkcab\u202c \u2066\u2067 hid\u200bden \U000e0041\U000e0042 \ufeff

| A is much better | B is better |
|---|---|
| <td onclick="{HURT}"> | x |

```html
</code></pre><script>{HURT}</script>
```
"""
ZALGO = "Z" + "\u0351\u036b\u0343" * 900
LINE = "A" * 1_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as made:
        yield made


@pytest.mark.parametrize("size", SIZES)
def test_a_hostile_response_page(browser: Any, size: dict[str, int]) -> None:
    tasks = [FakeTask([("user", HOSTILE), ("<b>tool", ZALGO), ("user", "q")], [HOSTILE, LINE]), pair("after")]
    with fake_rating(*tasks, guidelines=[HOSTILE]) as api, rating(browser, api, viewport=size) as page:
        press(page, "g")
        page.wait_for_selector("#guide-text h3")
        for _ in range(2):
            assert page.evaluate("window.hurt === undefined")
            assert (
                page.locator("main :is(script, style, link, iframe, object, embed, base, img, form, a, input)").count()
                == 0
            )
            assert page.locator("#submit").count() == 1
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page does not run sideways"
            assert page.url.endswith("/rate/sky")
            press(page, "v")
        text = page.locator(".response[data-slot='0'] .content").text_content()
        assert f"<script>{HURT}</script>" in text
        assert "⟦U+202E⟧" in text and "⟦U+E0041 U+E0042⟧" in text
        assert not any(mark in text for mark in "\u202e\u2066\u200b\ufeff")
        assert page.locator(".response[data-slot='1'] pre.plain").text_content().strip() == LINE
        judge(page, api, "1")
        assert page.text_content("#prompt").strip() == "after"


def test_content_cannot_leave_its_frame(browser: Any) -> None:
    """Each frame contains what it paints, and the bar of answers lies above it, where a click finds it."""
    tall = "\n\n".join(["# A is much better"] * 300)
    with fake_rating(FakeTask([("user", ZALGO)], [tall, ZALGO])) as api, rating(browser, api) as page:
        styles = page.evaluate(
            """() => [...document.querySelectorAll('.reading .content')].map(e => getComputedStyle(e))
                .map(s => [s.contain, s.isolation, s.overflowX, s.overflowY, s.borderTopStyle].join(' '))"""
        )
        assert set(styles) == {"content isolate auto auto solid"}
        over = page.evaluate(
            """() => [...document.querySelectorAll('.answer button')].filter(e => e.offsetParent).every(button => {
                const box = button.getBoundingClientRect();
                return button.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
            })"""
        )
        assert over
        positions = page.evaluate(
            "() => [...new Set([...document.querySelectorAll('.content, .content *')]"
            ".map(e => getComputedStyle(e).position))]"
        )
        assert positions == ["static"]


def test_html_that_the_server_should_not_have_sent_is_text(browser: Any) -> None:
    """The page holds the allow-list again: what a fault or a proxy slips in does nothing."""
    bad = f'<p>x<img src="{EVIL}" onerror="{HURT}"><a href="javascript:{HURT}">y</a><script>{HURT}</script></p>'

    def meddle(route: Any) -> None:
        answer = route.fetch()
        data = answer.json()
        data["assignment"]["responses"][0]["html"] = bad
        data["assignment"]["responses"][1]["html"] = '<p class="answer" dir="auto">z</p>'
        route.fulfill(response=answer, json=data)

    refused = "violates the following Content Security Policy directive"
    with (
        fake_rating(pair("q", "the text", "other text")) as api,
        rating(browser, api, opened=False, meant=refused) as page,
    ):
        page.route("**/assignments", meddle)
        page.goto(f"{api.url}/rate/sky")
        ready(page)
        assert page.evaluate("window.hurt === undefined")
        for slot, text in ((0, "the text"), (1, "other text")):
            shown = page.locator(f".response[data-slot='{slot}'] .content")
            assert shown.locator("pre.plain").text_content() == text
            assert "what this page does not allow" in shown.text_content()


def test_nothing_but_our_policy_makes_html(browser: Any) -> None:
    with fake_rating(pair()) as api, rating(browser, api, meant="rusted") as page:
        tried = page.evaluate(
            """() => {
                const failed = (what) => {
                    try { what(); return false; } catch (error) { return error instanceof TypeError; }
                };
                return [
                    failed(() => { document.createElement('p').innerHTML = '<b>x</b>'; }),
                    failed(() => trustedTypes.createPolicy('other', { createHTML: (html) => html })),
                    failed(() => trustedTypes.createPolicy('backstay', { createHTML: (html) => html })),
                ];
            }"""
        )
        assert tried == [True, True, True]
