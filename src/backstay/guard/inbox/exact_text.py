"""The bytes that a decision is bound to, as HTML that shows every one of them and nothing else.

Tags are added around keys, around escapes of misleading characters and around what an edit changed. The text between
the tags is the rendering, byte for byte: `pre.textContent` in a browser equals it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from markupsafe import Markup, escape

MOST_MARKS = 2000
"""Runs of escapes that are highlighted; beyond them the text goes on without, so that no page chokes a browser."""

_END_OF_JSON = "\n}\n"


LONG = 8000
"""Characters beyond which the text scrolls in a frame of its own."""


class ExactText(NamedTuple):
    """The rendering as HTML, how many runs of misleading characters it shows as escapes, and what an edit changed."""

    html: Markup
    escapes: int
    changes: Markup
    is_long: bool


def exact_text(rendering: bytes) -> ExactText:
    """HTML of what `approvals.rendered` gave."""
    text = rendering.decode()
    end = text.index(_END_OF_JSON) + len(_END_OF_JSON)
    marker = _Marker()
    json = Markup("").join(marker.line(line) for line in text[:end].splitlines(keepends=True))
    told, *changed = [_change(marker, line) for line in text[end:].splitlines(keepends=True)] or [Markup("")]
    changes = Markup("").join(changed)
    return ExactText(json + told + changes, marker.count, changes, len(text) > LONG)


def _change(marker: "_Marker", line: str) -> Markup:
    marked = Markup("").join(marker.marked(line))
    if line.startswith("- "):
        return Markup("<del>{}</del>").format(marked)
    if line.startswith("+ "):
        return Markup("<ins>{}</ins>").format(marked)
    return marked


class _Marker:
    def __init__(self) -> None:
        self.count = 0

    def line(self, line: str) -> Markup:
        """A line of JSON; its key, where it begins with one, stands out."""
        key = _key_end(line)
        head = Markup("").join(self.marked(line[:key]))
        return Markup("").join([Markup("<b>{}</b>").format(head) if key else head, *self.marked(line[key:])])

    def marked(self, text: str) -> Iterator[Markup]:
        """The text with its runs of escapes by number marked; a backslash that is itself escaped begins none."""
        done = at = 0
        while (at := text.find("\\", at)) >= 0:
            end = at
            while text.startswith("\\u", end):
                end += 6
            if end == at:
                at += 2
                continue
            self.count += 1
            if self.count <= MOST_MARKS:
                yield escape(text[done:at])
                yield Markup("<mark>{}</mark>").format(text[at:end])
                done = end
            at = end
        yield escape(text[done:])


def _key_end(line: str) -> int:
    """Where the key that a line of indented JSON begins with ends; 0 where it begins with none."""
    at = len(line) - len(line.lstrip(" "))
    if not line.startswith('"', at):
        return 0
    at += 1
    while at < len(line) and line[at] != '"':
        at += 2 if line[at] == "\\" else 1
    return at + 1 if line.startswith('": ', at) else 0
