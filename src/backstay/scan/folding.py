"""Each character's form for matching, decided by the character alone: so a text may be folded piece by piece.

The form is the compatibility decomposition (NFKD, the same equivalence as NFKC) without decorating marks, with letters
that look like Latin ones made Latin, and empty for what no reader sees. Composition is left out on purpose: it looks
at neighbours, and rules that match in a stream may not.
"""

import unicodedata
from array import array
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

MAX_FORM = 4
"""A character whose decomposition is longer stays as it is (a few Arabic ligatures and Japanese squares)."""

_MARKS = ((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
_UNSEEN = (
    (0x34F, 0x34F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2061, 0x2064), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
_UNWRITTEN = frozenset(chr(code) for low, high in (*_MARKS, *_UNSEEN) for code in range(low, high + 1))
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
TAGS = (0xE0000, 0xE007F)


@cache
def _lookalikes() -> dict[str, str]:
    """Characters that look like an ASCII one, and which; the lines of lookalikes.txt begin with that one."""
    lines = files("backstay.scan").joinpath("lookalikes.txt").read_text("utf-8").splitlines()
    return {other: line[0] for line in lines for other in line[2:]}


def hidden_kind(char: str) -> str | None:
    """`bidi`, `tag`, `mark` or `invisible` for a character without a form of its own, None for any other."""
    code = ord(char)
    if code < 0x80:
        return None
    if char in _BIDI:
        return "bidi"
    if TAGS[0] <= code <= TAGS[1]:
        return "tag"
    if any(low <= code <= high for low, high in _MARKS):
        return "mark"
    return "invisible" if char in _UNWRITTEN or unicodedata.category(char) == "Cf" else None


@cache
def form(char: str) -> str:
    """The form of one character: itself for ASCII, nothing for what is not seen; forms are their own forms."""
    if ord(char) < 0x80:
        return char
    if hidden_kind(char) is not None:
        return ""
    if char in "\u2028\u2029\u0085":
        return "\n"
    if unicodedata.category(char) == "Zs":
        return " "
    return _settled(char)


def _settled(char: str) -> str:
    parts = unicodedata.normalize("NFKD", char)
    if len(parts) > MAX_FORM:
        return char
    seen = (part for part in parts if hidden_kind(part) is None)
    folded = "".join(_lookalikes().get(part, part) for part in seen)
    return folded if len(folded) <= 1 or folded.isascii() else "".join(form(part) for part in folded)


def _may_change(char: str) -> bool:
    """Whether a character's form may be another; looked up for all of them, so the cheap questions come first."""
    if not unicodedata.is_normalized("NFKD", char) or unicodedata.category(char) in ("Cf", "Cc", "Zs", "Zl", "Zp"):
        return True
    return char in _lookalikes() or char in _UNWRITTEN


@cache
def _tables() -> tuple[NDArray[np.int8], NDArray[np.uint16], NDArray[np.int32]]:
    """Length of each form less one, where its characters start in the last array, and those characters.

    What is its own form is 0 in both, so that memory of scripts that no text has used is never touched. Sixteen bits
    hold all places; an array of 4 MB or more would come in pages of 2 MB each.
    """
    longer, start_of = np.zeros(0x110000, np.int8), np.zeros(0x110000, np.uint16)
    flat = array("i", [0])
    for code in (*range(0x80, 0x20000), *range(0x2F800, 0x2FA20), *range(0xE0000, 0xE1000)):
        if _may_change(chr(code)):
            shape = form.__wrapped__(chr(code))  # 17,000 kept answers would be 5 MB, and are not asked for again
            longer[code], start_of[code] = len(shape) - 1, len(flat)
            flat.extend(map(ord, shape))
    return longer, start_of, np.array(flat, np.int32)


def fold(text: str) -> tuple[str, NDArray[np.int64]]:
    """The text of all forms, and for each of its characters the index of the character it came from."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int32)
    longer, start_of, flat = _tables()
    length = longer[codes].astype(np.int64) + 1
    source = np.repeat(np.arange(len(codes)), length)
    within = np.arange(len(source)) - np.repeat(np.cumsum(length) - length, length)
    start = start_of[codes][source]
    view = np.where(start, flat[start + within], codes[source])
    return view.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass"), source
