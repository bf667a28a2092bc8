"""The ways in which a text may be meant to be read: as it stands, with letters for digits, joined, turned, decoded.

Each way but the first is tried only where the text shows signs of it, so that ordinary texts are read once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backstay.scan.decoding import leet, rot13
from backstay.scan.engine import compile_re2, literal_automaton
from backstay.scan.scanner import Budget
from backstay.scan.view import Part, View

_SIGNS = 3
"""Signs of a way of writing from which on a text is read in that way."""

_SPACED = rb"(?:[A-Za-z0-9][ ._*-]{1,3}){5,}[A-Za-z0-9]"
_LEET = rb"[A-Za-z][013457@$!]+[A-Za-z]|\b[013457@$!]+[a-z]{2,}"
_COMMON = (
    *(" the ", " you ", " your ", " for ", " that ", " this ", " with ", " all "),
    *("response", "answer", "instruction", "previous", "ignore"),
)
_TURNED_SIGNS = 2
"""Common words from which on a text counts as turned; hardly any stands in a text that is not."""


@dataclass(frozen=True)
class Reading:
    """A text and the way in which it was got; `source` maps its characters to those of the view, None: one to one.

    `parts` are the decoded texts of which it is made, with the place in it where each begins.
    """

    way: str
    text: str
    source: NDArray[np.int64] | None = None
    parts: tuple[tuple[int, Part], ...] = field(default=(), repr=False)

    @cached_property
    def folded(self) -> bytes:
        """One byte per character, ASCII in lower case, anything else `?`."""
        return self.text.encode("ascii", "replace").lower()

    @property
    def told(self) -> str:
        """What evidence says of the way."""
        return "" if self.way == "plain" else f", read as {self.way}"

    def span(self, view: View, start: int, end: int) -> tuple[int, int]:
        """The span of the original that these characters came from; of decoded ones the whole encoded stretch."""
        if self.parts:
            inside = [part for at, part in self.parts if at <= start] or [self.parts[0][1]]
            return inside[-1].span
        if self.source is None:
            return view.span(start, end)
        return view.span(int(self.source[start]), int(self.source[end - 1]) + 1)


@dataclass(frozen=True)
class Readings:
    """All readings of a view; `complete` is False where something encoded was left out."""

    readings: tuple[Reading, ...]
    complete: bool


def readings(view: View, budget: Budget) -> Readings:
    """The view as it stands, and in each other way that it shows signs of; linear in the text."""
    decoded = view.decoded(budget.deadline)
    ways = (_joined(view), _leet(view), _turned("rot13", view, rot13), _turned("reversed", view, lambda t: t[::-1]))
    inner = _inner(decoded.parts)
    return Readings((Reading("plain", view.text), *(w for w in (*ways, *inner) if w is not None)), decoded.complete)


def _inner(parts: tuple[Part, ...]) -> Iterator[Reading]:
    """One reading for each encoding: its decoded texts, a line each, so that many small ones cost no more than one."""
    for encoding in sorted({part.encoding for part in parts}):
        text, places = [], []
        at = 0
        for part in parts:
            if part.encoding == encoding:
                places.append((at, part))
                text.append(part.view.text)
                at += len(part.view.text) + 1
        yield Reading(encoding, "\n".join(text), parts=tuple(places))


def _joined(view: View) -> Reading | None:
    """Words whose letters are set apart (`i g n o r e`); two or more signs between letters part words."""
    kept = np.ones(len(view.text), bool)
    found = False
    for match in compile_re2(_SPACED).finditer(view.matched):
        found = True
        start, end = match.span()
        letters = np.frombuffer(view.matched[start:end], np.uint8)
        plain = (letters >= 48) & ~np.isin(letters, tuple(b"_"))
        lone = ~plain & np.append(plain[1:], True) & np.append(True, plain[:-1])
        kept[start:end] &= ~lone
    if not found:
        return None
    source = np.flatnonzero(kept)
    text = "".join(view.text[i] for i in source.tolist())
    return Reading("joined", text, source)


def _leet(view: View) -> Reading | None:
    signs = sum(1 for _, _ in zip(range(_SIGNS), compile_re2(_LEET).finditer(view.matched), strict=False))
    return Reading("leet", leet(view.text)) if signs >= _SIGNS else None


@cache
def _turned_signs(way: str) -> Any:
    turn: Callable[[str], str] = rot13 if way == "rot13" else lambda text: text[::-1]
    return literal_automaton([turn(word).encode("ascii") for word in _COMMON])


def _turned(way: str, view: View, turn: Callable[[str], str]) -> Reading | None:
    """Rot13 or the reverse, where common words stand in the text so written."""
    signs = _turned_signs(way).find_matches_as_indexes(view.folded)
    if len(signs) < _TURNED_SIGNS:
        return None
    length = len(view.text)
    source = np.arange(length)[::-1].copy() if way == "reversed" else None
    return _Backwards(way, turn(view.text), source) if way == "reversed" else Reading(way, turn(view.text))


class _Backwards(Reading):
    """A reading whose characters run against the text."""

    def span(self, view: View, start: int, end: int) -> tuple[int, int]:
        """The span of the original, its ends turned round."""
        length = len(self.text)
        return view.span(length - end, length - start)
