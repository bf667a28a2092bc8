"""Characters that cannot be seen, or that turn the direction of reading, as marks that can.

A response can hide a word behind a zero-width space, speak to a model in tag characters, or turn `exe.txt` round with
one control. Each such character is shown as its code, ⟦U+202E⟧, and is itself left out of the page. Joiners stay where
writing needs them: inside an emoji, and between letters of scripts that join.
"""

import re
import unicodedata

from markupsafe import escape

MOST_MARKS = 2000
"""Marks of one text that get an element of their own; further ones are plain text, so that no page chokes a browser."""
MOST_CODES = 4
"""Codes shown of one run; a longer run ends with the number of those left out."""

LONGEST_WORD = 500
"""Characters without a space after which a line may break: a browser lays one word of a megabyte out for minutes."""

_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ud800-\udfff\ue000-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000f0000-\U0010ffff"
)
_RUN = re.compile(f"[{_UNSEEN}]+")
_JOINS = re.compile("[\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff\u1800-\u18af]")
_SKIN = re.compile("[\ufe0f\U0001f3fb-\U0001f3ff]+$")
_KEYCAPS = "#*0123456789"
_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD}}}(?=\S)")


class Visible:
    """Turns the pieces of one text into HTML; counts the marks over all of them."""

    def __init__(self) -> None:
        self.marks = 0

    def html(self, text: str) -> str:
        """The text, escaped, with every unseen character shown as a mark."""
        done, parts = 0, []
        for found in _RUN.finditer(text):
            if _belongs(text, found.start(), found.end()):
                continue
            parts += [_escaped(text[done : found.start()]), self._mark(found[0])]
            done = found.end()
        return "".join([*parts, _escaped(text[done:])])

    def _mark(self, run: str) -> str:
        codes = " ".join(f"U+{ord(character):04X}" for character in run[:MOST_CODES])
        more = f" and {len(run) - MOST_CODES} more" if len(run) > MOST_CODES else ""
        self.marks += 1
        return f'<span class="unseen">⟦{codes}{more}⟧</span>' if self.marks <= MOST_MARKS else f"⟦{codes}{more}⟧"


def _escaped(text: str) -> str:
    if len(text) <= LONGEST_WORD:
        return str(escape(text))
    return "<wbr>".join(str(escape(part)) for part in _LONG_WORD.sub(lambda found: f"{found[0]}\0", text).split("\0"))


def _belongs(text: str, start: int, end: int) -> bool:
    """Whether every character of a run is where writing needs it; a real sequence holds two of them at most."""
    return end - start <= 2 and all(_needed(text, at) for at in range(start, end))


def _needed(text: str, at: int) -> bool:
    if at == 0:
        return False
    before, after = text[at - 1], text[at + 1 : at + 2]
    if text[at] in "\ufe0e\ufe0f":
        return _is_picture(before) or before in _KEYCAPS
    if text[at] == "\u200d" and after and _is_picture(after):
        return _is_picture(_SKIN.sub("", text[max(0, at - 3) : at])[-1:])
    return text[at] in "\u200c\u200d" and bool(_JOINS.match(before) and after and _JOINS.match(after))


def _is_picture(character: str) -> bool:
    return (bool(character) and unicodedata.category(character) in ("So", "Sm")) or character in "‼⁉"
