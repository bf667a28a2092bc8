"""One view of a text for all scanners: normalised, with a map back, and with what was encoded in it decoded."""

import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backstay.scan.decoding import MAX_DEPTH, MAX_GROWTH, MAX_PARTS, encoded_parts, leet, rot13
from backstay.scan.folding import TAGS, fold, hidden_kind
from backstay.scan.snippets import Snippets, snippets


@dataclass(frozen=True)
class Part:
    """A text that was decoded from a span of the original."""

    encoding: str
    span: tuple[int, int]
    view: "View"
    depth: int


@dataclass(frozen=True)
class Decoded:
    """Texts decoded from a view; `complete` is False where some were left out for their number or size."""

    parts: tuple[Part, ...]
    complete: bool


@dataclass(frozen=True)
class View:
    """A text as scanners see it.

    `text` is the normalised text and `source[i]` the index of the original character that `text[i]` came from (None:
    the view is the text itself). `hidden` counts what was removed: `bidi`, `tag`, `mark`, `invisible`.
    """

    original: str
    text: str
    source: NDArray[np.int64] | None
    hidden: dict[str, int]

    @classmethod
    def of(cls, text: str) -> "View":
        """The view of a text; of an ASCII text the text itself."""
        if text.isascii():
            return cls(text, text, None, {})
        view, source = fold(text)
        return cls(text, view, source, _hidden(text, source))

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original that view characters `start` to `end` (exclusive, end > start) came from."""
        if self.source is None:
            return start, end
        return int(self.source[start]), int(self.source[end - 1]) + 1

    def altered(self, start: int, end: int) -> bool:
        """Whether these view characters (end > start) are not what stands in the original."""
        low, high = self.span(start, end)
        return self.source is not None and self.original[low:high] != self.matched[start:end].decode()

    @cached_property
    def matched(self) -> bytes:
        """One byte per view character: ASCII as it is, anything else `?`."""
        return self.text.encode("ascii", "replace")

    @cached_property
    def folded(self) -> bytes:
        """`matched` in lower case, for literal gates."""
        return self.matched.lower()

    @cached_property
    def rot13(self) -> str:
        """The view text under rot13, character by character."""
        return rot13(self.text)

    @cached_property
    def leet(self) -> str:
        """The view text with digits and signs read as the letters they stand for, character by character."""
        return leet(self.text)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Texts decoded from base64, hex, url-encoding and Unicode tags, at most two deep."""
        return self.decoded().parts

    @cached_property
    def snippets(self) -> Snippets:
        """Pieces of the original that may be code."""
        return snippets(self.original)

    def decoded(self, deadline: float | None = None) -> Decoded:
        """As `parts`, and whether that is all; no layer is begun after `deadline` (of `time.monotonic`)."""
        found, complete = _tagged(self), True
        room = MAX_GROWTH * len(self.original) - sum(len(part.view.text) for part in found)
        layer = [Part("plain", (0, len(self.original)), self, 0), *found]
        for depth in range(1, MAX_DEPTH + 1):
            if deadline is not None and time.monotonic() > deadline:
                return Decoded(tuple(found), complete=False)
            layer = [part for outer in layer for part in _undone(outer, depth, self)]
            kept = [part for part in layer if (room := room - len(part.view.text)) >= 0]
            complete = complete and len(kept) == len(layer) < MAX_PARTS
            found.extend(kept)
            layer = kept
        return Decoded(tuple(found), complete)


def _undone(outer: Part, depth: int, root: View) -> list[Part]:
    return [
        Part(encoding, root.span(start, end) if outer.view is root else outer.span, View.of(text), depth)
        for encoding, (start, end), text in encoded_parts(outer.view.text, outer.view.matched)
    ]


def _tagged(view: View) -> list[Part]:
    """What is written in Unicode tags, each of which stands for the ASCII character 0xE0000 below it."""
    places = (
        [i for i, char in enumerate(view.original) if TAGS[0] < ord(char) < TAGS[1]] if "tag" in view.hidden else []
    )
    if not places:
        return []
    text = "".join(chr(ord(view.original[i]) - TAGS[0]) for i in places)
    return [Part("tags", (places[0], places[-1] + 1), View.of(text), 1)]


def _hidden(text: str, source: NDArray[np.int64]) -> dict[str, int]:
    kept = np.zeros(len(text), bool)
    kept[source] = True
    if kept.all():
        return {}
    counts = Counter(text[i] for i in np.flatnonzero(~kept))
    kinds: Counter[str] = Counter()
    for char, count in counts.items():
        kinds[hidden_kind(char) or "invisible"] += count
    return dict(kinds)
