"""Responses made to hurt whoever reads them: only allowed tags come out, all of the text, and soon."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shown_html import ShownHtml

from backstay.web.rendering import render

pytestmark = pytest.mark.hostile
HOSTILE = {
    "script": "<script>alert(1)</script><SCRIPT SRC=//evil.example>",
    "svg": "<svg onload=alert(1)><a xlink:href='javascript:alert(1)'>x</a></svg>",
    "css": "</style><style>*{display:none}</style><link rel=stylesheet href=//evil.example>",
    "frame": "<iframe srcdoc='<script>1</script>'></iframe><object data=x><embed src=x><base href=//e>",
    "form": "</div></main><form action=//evil.example><button>Done</button></form>",
    "meta": "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "code": "```html\n</code></pre><script>alert(1)</script>\n```",
    "info": '```"><script>alert(1)</script>\nx\n```',
    "inline": "`</code><script>`",
    "link": "[<img src=x onerror=alert(1)>](javascript:alert(1) '\"><script>')",
    "image": "![\"><script>alert(1)</script>](data:text/html,<script>alert(1)</script> '\"onload=x')",
    "table": '| <td onclick=x> | b |\n|:-:|---|\n| <script> | " style="position:fixed |',
    "list": '999999999. <li value="1">\n- [ ] <input autofocus onfocus=x>',
    "entity": "&lt;script&gt; &#60;script&#62; &#x3c;img src=x&#x3e; &colon;",
    "maths": "$<script>$ \\(<b>\\) $$</code></pre><img src=x>$$",
    "comment": "<!--> <script> --> <![CDATA[ x ]]> <?php ?> <!DOCTYPE html>",
    "unclosed": "<a href='",
    "nul": "a\x00b\x1b[2J\x07\x7f\x85",
    "bidi": "\u202eevil\u2066\u2069\u200f\u061c",
    "heading": "# <h1 id=main>\n===\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_only_allowed_html_comes_out(name: str) -> None:
    assert ShownHtml(render(HOSTILE[name])).wrong == []


@pytest.mark.parametrize("name", ["script", "svg", "css", "frame", "form", "meta", "unclosed"])
def test_raw_html_is_shown_as_it_is_written(name: str) -> None:
    assert ShownHtml(render(HOSTILE[name])).text == HOSTILE[name]


PIECES = [
    *HOSTILE.values(),
    *"*_~`[]()!<>&\"'\\$#-+|=:^{}\n\t 0aé\u202e\u200b",
    "**", "```", "~~~", "    ", "> ", "- ", "1. ", "|--|", "](", "![", "$$", "\\(", "\\)", "\\[", "\\]",
    "\n\n", "&#x", "\r",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@settings(max_examples=300, deadline=None)
def test_whatever_is_put_together_stays_inside_the_allow_list(text: str) -> None:
    found = ShownHtml(render(text))
    assert found.wrong == []
    assert "\u202e" not in found.text and "\u200b" not in found.text and "\x1b" not in found.text


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_stays_inside_the_allow_list(text: str) -> None:
    assert ShownHtml(render(text)).wrong == []


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@settings(max_examples=200, deadline=None)
def test_no_word_vanishes(text: str) -> None:
    """Words around whatever Markdown there is: each stays, and in its order."""
    words = [f"word{n}" for n in range(4)]
    shown = ShownHtml(render(f"{words[0]}\n\n{words[1]} {text} {words[2]}\n\n{words[3]}")).text
    at = [shown.find(word) for word in words]
    assert -1 not in at
    assert at == sorted(at)


TANGLED = {
    "line of a megabyte": "A" * 1_000_000,
    "zero-width megabyte": "a\u200b" * 500_000,
    "quotes": ">" * 100_000,
    "quotes below the limit": ">" * 59_000,
    "lists": "- " * 100_000,
    "list a line": "\n".join("  " * n + "- a" for n in range(240)),
    "brackets": "[" * 59_000,
    "image brackets": "![[" * 19_000,
    "nested images": "![a" * 19_000 + "](b)" * 100,
    "link labels": "[a](" * 14_000,
    "emphasis": "*a_ " * 14_000,
    "mixed emphasis": "_a*" * 19_000,
    "ticks": "".join("`" * n + " " for n in range(1, 340)),
    "tables": ("|" + "a|" * 10 + "\n|" + "-|" * 10 + "\n" + ("|" + "b|" * 10 + "\n") * 2400)[:59_999],
    "short wide table": "|" + "a|" * 250 + "\n|" + "-|" * 250 + "\n" + "|a\n" * 256,
    "dollars": "$$" * 29_000,
    "open mathematics": "\\[a" * 19_000,
    "mathematics a line": "$$\n" * 3_900,
    "entities": "&" * 59_000,
    "lazy quote": "> a\n" + "b\n" * 3_900,
    "items": "1. a\n" * 3_900,
    "quoted fences": ("> " * 10 + "```\n") * 1_900,
    "autolinks": "<a " * 19_000,
    "definitions": "[a]: b\n" * 3_900,
}


@pytest.mark.parametrize("name", TANGLED)
def test_a_tangle_is_read_in_time_and_never_cut(name: str) -> None:
    text = TANGLED[name]
    began = time.process_time()
    html = render(text)
    assert time.process_time() - began < 6
    found = ShownHtml(html)
    assert found.wrong == []
    if "shown-plain" in html:
        shown = found.text.split(".\n", 1)[1]
        assert shown.replace("⟦U+200B⟧", "\u200b") == text


def test_time_grows_with_the_length_and_not_with_its_square() -> None:
    def seconds(text: str) -> float:
        best = 9.0
        for _ in range(3):
            began = time.process_time()
            render(text)
            best = min(best, time.process_time() - began)
        return best

    rng = random.Random(5)
    for piece in ("[", "*a_ ", "![a](", "`a``", "> - ", "<a ", "$a "):
        text = "".join(rng.choice((piece, piece, "b ")) for _ in range(1000))
        assert seconds(text * 10) < 40 * max(seconds(text), 0.002), piece
