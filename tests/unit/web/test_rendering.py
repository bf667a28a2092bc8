"""Markdown as HTML: what is written, what is shown as text, and that nothing vanishes."""

import sys
import unicodedata

import pytest
from shown_html import ShownHtml

from backstay.web.rendering import Visible, render, render_plain
from backstay.web.rendering.markdown import LONGEST

VISIBLE_CF = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
"""Characters of category Cf that draw something: signs of Arabic, Syriac and Kaithi."""


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", '<p dir="auto">plain</p>'),
        ("*a* **b** ~~c~~ `d`", '<p dir="auto"><em>a</em> <strong>b</strong> <del>c</del> <code>d</code></p>'),
        ("one\ntwo", '<p dir="auto">one<br>two</p>'),
        ("# one\n## two", '<h3 dir="auto">one</h3>\n<h4 dir="auto">two</h4>'),
        ("###### six", '<h6 dir="auto">six</h6>'),
        ("4. a\n5. b", '<ol dir="auto" start="4"><li dir="auto">a</li>\n<li dir="auto">b</li>\n</ol>'),
        ("> a", '<blockquote dir="auto"><p dir="auto">a</p>\n</blockquote>'),
        ("a\n\n---\n\nb", '<p dir="auto">a</p>\n<hr>\n<p dir="auto">b</p>'),
        ("```py x\n1 < 2\n```", '<p class="info">py x</p><pre><code>1 &lt; 2\n</code></pre>'),
        ("    four", "<pre><code>four\n</code></pre>"),
    ],
)
def test_markdown(text: str, html: str) -> None:
    assert render(text) == html


def test_a_table() -> None:
    found = ShownHtml(render("| a | b |\n|---|--:|\n| 1 | *2* |"))
    assert found.tags == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td", "em"]
    assert found.text.split() == ["a", "b", "1", "2"]
    assert found.wrong == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b onclick=x>hi</b>", "<b onclick=x>hi</b>"),
        ("<!-- hidden -->", "<!-- hidden -->"),
        ("<https://a.example>", "<https://a.example>"),
        ("[here](https://evil.example/x)", "here (https://evil.example/x)"),
        ('[here](https://evil.example "a title")', "here (https://evil.example “a title”)"),
        ("[here](javascript:alert(1))", "here (javascript:alert(1))"),
        ("![cat](https://evil.example/pixel.png)", "[image: cat — https://evil.example/pixel.png]"),
        ("![](data:image/svg+xml;base64,AA)", "[image:  — data:image/svg+xml;base64,AA]"),
        ("[ref]: https://evil.example", "[ref]: https://evil.example"),
        ("[a][b]\n\n[b]: /c 'd'", "[a][b]\n[b]: /c 'd'"),
        ("&amp; &#60; &copy;", "& < ©"),
    ],
)
def test_what_could_load_or_open_is_text(text: str, shown: str) -> None:
    found = ShownHtml(render(text))
    assert found.text == shown
    assert set(found.tags) <= {"p", "span"}


@pytest.mark.parametrize(
    "text",
    [
        r"\(a_1 * b_2 * c\)",
        r"\[ \frac{a}{b} \]",
        "$x_i$",
        r"$$\sum_i x_i * y_i * z_i$$",
        "$$\na_1 + b_2\n= 3\n- 4\n$$",
        "\\[\n\\alpha *\\beta* \\gamma\n\\]",
    ],
)
def test_mathematics_stays_its_source(text: str) -> None:
    found = ShownHtml(render(f"Let\n\n{text}\n\nhold."))
    assert text in found.text
    assert "em" not in found.tags
    assert 'class="maths"' in render(text)


@pytest.mark.parametrize("text", ["$5 and $6", "a $ b $ c", r"\( never closed", "$$", "cost: $x, $y"])
def test_what_is_no_mathematics(text: str) -> None:
    assert "maths" not in render(text)
    assert ShownHtml(render(text)).text.replace("(", "") == text.replace("\\(", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a⟦U+202E⟧b"),
        ("pass\u200bword", "pass⟦U+200B⟧word"),
        ("x\U000e0041\U000e0042y", "x⟦U+E0041 U+E0042⟧y"),
        ("a" + "\u200b" * 500 + "b", "a⟦U+200B U+200B U+200B U+200B and 496 more⟧b"),
        ("`\u2066`", "⟦U+2066⟧"),
        ("&#x202e;", "⟦U+202E⟧"),
        ("[a](http://x/\u202egpj.exe)", "a (http://x/⟦U+202E⟧gpj.exe)"),
        ("\u3164\u2800", "⟦U+3164 U+2800⟧"),
        ("a\ufe0fb", "a⟦U+FE0F⟧b"),
        ("a\u200db", "a⟦U+200D⟧b"),
    ],
)
def test_unseen_characters_are_seen(text: str, shown: str) -> None:
    html = render(text)
    assert ShownHtml(html).text == shown
    assert '<span class="unseen">' in html


@pytest.mark.parametrize("text", ["👩‍👧", "❤️‍🔥", "👩🏽‍🚀", "1️⃣", "می‌خواهم", "क्‍ष", "œuvre naïve", "日本語", "עברית"])
def test_joiners_stay_where_writing_needs_them(text: str) -> None:
    shown = ShownHtml(render(f"a {text} b")).text
    assert shown.replace("⟦U+20E3⟧", "\u20e3") == f"a {text} b"


def test_every_character_that_draws_nothing_is_marked() -> None:
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        draws_nothing = category in ("Cc", "Cf", "Zl", "Zp", "Co", "Cs") and code not in VISIBLE_CF
        if draws_nothing and chr(code) not in "\n\t":
            assert Visible().html(f"a{chr(code)}b") == f'a<span class="unseen">⟦U+{code:04X}⟧</span>b'
        elif category[0] in "LNPS" and category not in ("Lo", "So"):
            assert "unseen" not in Visible().html(f"a{chr(code)}b")


def test_marks_become_text_when_there_are_thousands() -> None:
    html = render_plain("a\u200b" * 5000)
    assert html.count('class="unseen"') == 2000
    assert ShownHtml(html).text.count("⟦U+200B⟧") == 5000


def test_what_is_too_long_is_shown_whole_and_says_so() -> None:
    text = "*a*\n" * (LONGEST // 4 + 1)
    found = ShownHtml(render(text))
    assert set(found.tags) == {"p", "pre", "span"}
    assert (
        found.text
        == f"Shown as plain text: it has {len(text):,} characters, and Markdown is read up to 60,000.\n{text}"
    )


@pytest.mark.parametrize("text", [">" * 200, "\n".join(">" * n + " a" for n in range(1, 60))])
def test_what_nests_too_deep_is_shown_whole_and_says_so(text: str) -> None:
    found = ShownHtml(render(text))
    assert found.text.startswith("Shown as plain text: its quotes or lists are nested too deep.")
    assert found.text.endswith(text)


def test_twenty_levels_are_not_too_deep() -> None:
    assert ShownHtml(render("> " * 20 + "a")).tags.count("blockquote") == 20


def test_a_word_that_never_ends_may_break() -> None:
    html = render_plain("a" * 1200 + " " + "b" * 500)
    assert html.count("<wbr>") == 2
    assert ShownHtml(html).text.strip() == "a" * 1200 + " " + "b" * 500


def test_long_plain_text_comes_in_pieces_that_end_with_lines() -> None:
    text = ("x" * 99 + "\n") * 100 + "y" * 9000
    html = render_plain(text)
    pieces = [part.split("</span>")[0].replace("<wbr>", "") for part in html.split('<span class="piece">')[1:]]
    assert "".join(pieces) == text
    assert [len(piece) for piece in pieces] == [4000, 4000, 2000, 4000, 4000, 1000]
