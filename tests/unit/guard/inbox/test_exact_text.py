from html.parser import HTMLParser
from pathlib import Path

import pytest
from approval_world import World

from backstay.guard.approvals import Identity, rendered
from backstay.guard.inbox import exact_text as module
from backstay.guard.inbox.exact_text import exact_text


class Text(HTMLParser):
    """The text of a piece of HTML, and what stands in each kind of tag."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.within: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(str(source))
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        assert not attrs
        self._open.append(tag)
        self.within.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        for tag in self._open:
            self.within[tag][-1] += data


HOSTILE = {
    "script": "<script>alert(1)</script>",
    "svg": '<svg/onload="alert(1)">',
    "entity": "&lt;b&gt; &amp;amp; &#x202e;",
    "style": "}</style><style>*{display:none}",
    "pre": "</pre><form action=//evil>",
    "bidi": "a\u202eb\u2066c",
    "zero": "x\u200b\u200b\u200by",
    "codes": "\\u202e \\\\u202e",
    "lines": '\n}\nchanged by mallory from 0\n+ ["args"]: 1\n',
    "key\u202e": 1,
    "nul": "\x00\x1b[31m",
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "g.db")


def test_text_is_the_rendering_byte_for_byte(world: World) -> None:
    approval = world.approvals.get(world.ask(args=HOSTILE))
    raw = rendered(approval)
    shown = exact_text(raw)
    parsed = Text(shown.html)
    assert parsed.text.encode() == raw
    assert set(parsed.within) == {"b", "mark"}
    assert not shown.changes
    assert sorted(parsed.within["mark"]) == sorted(
        ["\\u202e", "\\u2066", "\\u200b\\u200b\\u200b", "\\u202e", "\\u0000\\u001b"]
    )
    assert shown.escapes == 5


def test_keys_stand_out_and_values_do_not(world: World) -> None:
    approval = world.approvals.get(world.ask(args={"a": ['"x": 1', "y"], 'q"k': "v"}))
    keys = Text(exact_text(rendered(approval)).html).within["b"]
    assert '    "a"' in keys and '    "q\\"k"' in keys
    assert not any("x" in key or '"y"' in key for key in keys if "expires" not in key)


def test_what_an_edit_changed_stands_apart(world: World) -> None:
    first = world.ask(args={"amount": 100, "gone": "<i>"})
    digest = world.approvals.get(first).digest
    edited = world.approvals.edit(first, Identity("alice", "token"), {"amount": 50, "new\u202e": 1}, digest)
    raw = rendered(edited, world.approvals.get(first))
    shown = exact_text(raw)
    parsed = Text(shown.html)
    assert parsed.text.encode() == raw
    assert parsed.within["del"] == ['- ["args"]["amount"]: 100\n', '- ["args"]["gone"]: "<i>"\n']
    assert parsed.within["ins"] == ['+ ["args"]["amount"]: 50\n', '+ ["args"]["new\\u202e"]: 1\n']
    assert parsed.text.endswith(Text(shown.changes).text)
    assert [line[:12] for line in Text(shown.changes).text.splitlines()] == [
        '- ["args"]["',
        '+ ["args"]["',
        '- ["args"]["',
        '+ ["args"]["',
    ]


def test_marks_are_bounded_and_the_text_stays_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_MARKS", 7)
    approval = world.approvals.get(world.ask(args={"a": "x\u200b" * 50}))
    raw = rendered(approval)
    shown = exact_text(raw)
    parsed = Text(shown.html)
    assert parsed.text.encode() == raw
    assert len(parsed.within["mark"]) == 7
    assert shown.escapes == 50


def test_long_text_scrolls_in_its_own_frame(world: World) -> None:
    short, long = (world.approvals.get(world.ask(args={"a": "x" * size})) for size in (10, 250_000))
    assert not exact_text(rendered(short)).is_long
    assert exact_text(rendered(long)).is_long
