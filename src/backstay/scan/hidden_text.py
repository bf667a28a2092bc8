"""Words written in characters that no reader sees: Unicode tags, variation selectors, zero-width bits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backstay.scan.folding import TAGS

MAX_HIDDEN = 20_000
"""Hidden characters that are decoded; the first ones count."""

LEAST_LETTERS = 6
"""Letters from which on a decoded stretch counts as words: the tags of a flag are at most six with no space."""

_ONE = 0x200C
_JOINERS = (0x200B, 0x200C, 0x200D)

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class HiddenText:
    """What is written without being seen: how, where it begins and ends, and the decoded text."""

    encoding: str
    span: tuple[int, int]
    text: str


def hidden_texts(text: str) -> tuple[HiddenText, ...]:
    """Hidden words of a text, by encoding; linear in the text."""
    if text.isascii():
        return ()
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)
    found = (
        *_decoded("tags", codes, (codes > TAGS[0]) & (codes < TAGS[1]), _tags),
        *_decoded("variation_selectors", codes, _selectors(codes), _selected),
        *_decoded("zero_width", codes, np.isin(codes, _JOINERS), _bits),
    )
    return tuple(found)


def _selectors(codes: Codes) -> Mask:
    return ((codes >= 0xFE00) & (codes <= 0xFE0F)) | ((codes >= 0xE0100) & (codes <= 0xE01EF))


def _decoded(encoding: str, codes: Codes, hidden: Mask, decode: Callable[[Codes], str]) -> Iterator[HiddenText]:
    places = np.flatnonzero(hidden)[:MAX_HIDDEN]
    if len(places) < LEAST_LETTERS:
        return
    said = decode(codes[places])
    if _is_words(said):
        yield HiddenText(encoding, (int(places[0]), int(places[-1]) + 1), said)


def _tags(codes: Codes) -> str:
    return "".join(chr(code - TAGS[0]) for code in codes.tolist())


def _selected(codes: Codes) -> str:
    low = codes < 0x10000
    return bytes(np.where(low, codes - 0xFE00, codes - 0xE0100 + 16).astype(np.uint8)).decode("utf-8", "replace")


def _bits(codes: Codes) -> str:
    """Eight bits a character, zero-width space and non-joiner as 0 and 1, in whichever order reads as words."""
    bits = (codes[codes != _JOINERS[2]] == _ONE).astype(np.uint8)
    whole = bits[: len(bits) // 8 * 8]
    ways = [np.packbits(way).tobytes().decode("utf-8", "replace") for way in (whole, 1 - whole)]
    return max(ways, key=_letters)


def _letters(said: str) -> int:
    return sum(char.isascii() and char.isalpha() for char in said)


def _is_words(said: str) -> bool:
    """Mostly letters and spaces, with a space among them or longer than any flag."""
    plain = sum(char.isascii() and (char.isalnum() or char in " .,:;!?'\"()-_/\n") for char in said)
    return _letters(said) > LEAST_LETTERS and plain >= 0.8 * len(said) and (" " in said.strip() or _letters(said) > 12)
