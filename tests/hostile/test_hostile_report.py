"""A report full of hostile text: nothing of it may become markup, style, script or a way out of its box."""

import re
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest

from backstay.report import ReportData, ReportMeta, StageRun, build_report

PAYLOADS = (
    "<script>alert(1)</script>",
    "</style><script>alert(2)</script>",
    "</svg></text><img src=x onerror=alert(3)>",
    "\"><iframe srcdoc='<script>alert(4)</script>'>",
    "' onmouseover='alert(5)",
    "--><!--<script>alert(6)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "]]><![CDATA[<script>alert(7)</script>",
    "javascript:alert(8)",
    "&lt;script&gt;&#60;script&#62;",
    "\u202egnp.exe\u2066\x00\x1b[31m\ud800",
    "$\\frac{1}{",
)
ALLOWED_TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "div", "svg", "path", "g", "defs", "use",
    "clippath", "rect", "text", "h1", "h2", "h3", "p", "nav", "a", "strong", "span", "b", "i", "bdi", "main",
    "section", "dl", "dt", "dd", "ol", "ul", "li", "article", "details", "summary", "figure", "figcaption", "table",
    "thead", "tbody", "tr", "th", "td", "code", "pre", "footer", "br",
}  # fmt: skip


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


def _row(mean: float) -> dict[str, Any]:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "count": 3, "excludes_zero": True}


def _evaluation(text: str) -> dict[str, Any]:
    measures = ("gold", "reward", "spread", "tokens", "finished", "refusal", "over_refusal", "flattery")
    sides: dict[str, Any] = {side: {name: _row(0.5) for name in measures} for side in ("before", "after", "difference")}
    sample = {"prompt_id": text, "prompt": text, "family": text, "before": text, "after": text}
    family = {
        "prompts": 3,
        **{side: {name: _row(0.5) for name in ("gold", "reward", "refused", "tokens")} for side in sides},
    }
    return {
        "prompts": 3, "responses": {"before": 3, "after": 3}, "level": 0.95, "gold_rule": True, "note": text,
        **sides, "win_rate": _row(0.6), "kl_nats": {**_row(3.0), "p95": 4.0}, "families": {text: family},
        "samples": [{**sample, "gold_before": 0.1, "gold_after": 0.2}] * 14,
    }  # fmt: skip


def _hostile(text: str) -> ReportData:
    heldout = {"pairs": 3, "accuracy": 0.6, "low": 0.5, "high": 0.7, "ece": 0.1, "bins": [], "member_accuracy": [0.6]}
    flip = {
        "raters": 3,
        "tasks": 3,
        "gold_items": 1,
        "heldout_pairs": 3,
        "heldout_prompts": 2,
        "seeds": 1,
        "note": text,
    }
    row = {"share": 0.1, "accuracy": 0.6, "low": 0.5, "high": 0.7, "seed_accuracies": [0.6], "label_accuracy": 0.7}
    counts = {"n_judgments": 3, "gold_seen": 1, "gold_right": 1}
    return ReportData(
        meta=ReportMeta(
            title=text, imported=False, gold_rule=text, created_at=text, version=text, model=text,
            commands=(text,), notes=(text,), not_tested=(text,), rater_kinds={"r0": text},
        ),
        stages=(StageRun(name=text, run=text, manifest_sha256=text, inputs=(text,)),),
        raters=({"id": "r0", "display_name": text, "simulated": True}, {"id": "r1", "display_name": text}),
        trust=tuple(
            {"rater_id": f"r{n}", "trust": 0.5, "low": 0.4, "high": 0.6, "notes": [text], **counts} for n in range(2)
        ),
        screen={"accepted": 1, "quarantined": 1, "pairs": 2, "by_reason": {text: 1}},
        ppo=({"update": 1, "kl_nats": 0.1, text: 1.0, "note": text},),
        reward={"members": 1, "heldout": heldout, "folds": None, "accuracy_by": {
            "family": [{"family": text, **heldout}], "cohort": [{"field": text, "value": text, **heldout}],
        }},
        evaluation=_evaluation(text),
        redteam={"label_flip": {**flip, "rows": [{**row, "arm": arm} for arm in ("defended", "undefended")]}},
    )  # fmt: skip


@cache
def _page(text: str) -> str:
    return build_report(_hostile(text))


@pytest.mark.parametrize("text", PAYLOADS)
def test_no_text_becomes_markup(text: str) -> None:
    page = _page(text)
    parser = _Tags()
    parser.feed(page)
    assert parser.tags <= ALLOWED_TAGS
    names = {name for name, _ in parser.attributes}
    assert not {name for name in names if name.startswith("on") or name in {"src", "srcdoc", "formaction", "action"}}
    assert all(value and value.startswith("#") for name, value in parser.attributes if name in {"href", "xlink:href"})


@pytest.mark.parametrize("text", PAYLOADS)
def test_the_style_sheet_ends_where_it_should(text: str) -> None:
    page = _page(text)
    head = page[: page.index("</head>")]
    assert head.count("</style>") == 1
    assert page.count("<style>") == page.count("</style>")


def test_styles_made_of_data_hold_numbers_only() -> None:
    page = _page(PAYLOADS[1])
    for style in re.findall(r'<[ib] style="([^"]*)"', page):
        assert re.fullmatch(r"(?:(?:left|width):[\d.]+%;?)+|background:var\(--[a-z]+\)", style), style


def test_templates_in_data_are_not_evaluated() -> None:
    page = _page("{{ 7 * 7 }}")
    assert "{{ 7 * 7 }}" in page
    assert "<bdi>49</bdi>" not in page


def test_control_and_direction_marks_do_not_reach_the_page() -> None:
    page = _page(PAYLOADS[10])
    assert not set(page) & {"\u202e", "\u2066", "\x00", "\x1b"}
    page.encode("utf-8")


def test_a_long_answer_stays_whole_and_the_page_bounded() -> None:
    page = _page("word " * 2000)
    assert page.count("word " * 2000) >= 20
    assert len(page.encode()) < 2_000_000
