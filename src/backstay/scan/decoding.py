"""Texts inside texts: base64, hex and url-encoding found and undone, each bounded; rot13 and leet letter by letter."""

import base64
import binascii
import codecs
import urllib.parse
from collections.abc import Iterator

from backstay.scan.engine import compile_re2

MAX_DEPTH = 2
MAX_GROWTH = 4
"""All decoded texts together are at most this many times the view."""
MAX_PARTS = 2000
"""Encoded stretches looked at per text and encoding; the first ones count."""
LEAST_ENCODED = 16
"""Characters of the shortest stretch of base64 or hex that is looked at."""
READABLE = 0.85
"""Share of printable ASCII from which on decoded bytes count as a text."""

Encoded = tuple[str, tuple[int, int], str]
_PATTERNS = {
    "base64": rb"[A-Za-z0-9+/_-]{16,}={0,2}",
    "hex": rb"[0-9A-Fa-f]{16,}",
    "url": rb"[A-Za-z0-9_.~+-]*%[0-9A-Fa-f]{2}[A-Za-z0-9_.~+%-]*",
}
_LEET = str.maketrans("013457@$!", "oieastasi")


def rot13(text: str) -> str:
    """Rot13, which is its own inverse; same length."""
    return codecs.encode(text, "rot13")


def leet(text: str) -> str:
    """Digits and signs as the letters they stand for; same length."""
    return text.translate(_LEET)


def encoded_parts(text: str, matched: bytes) -> Iterator[Encoded]:
    """Encoding, span and decoded text of each encoded stretch that decodes to readable text.

    `matched` has one byte per character of `text`.
    """
    for encoding, pattern in _PATTERNS.items():
        if (b"%" not in matched) if encoding == "url" else (len(matched) < LEAST_ENCODED):
            continue
        found = compile_re2(pattern).finditer(matched)
        for _, match in zip(range(MAX_PARTS), found, strict=False):
            start, end = match.span()
            decoded = _decode(encoding, text[start:end])
            if decoded is not None:
                yield encoding, (start, end), decoded


def _decode(encoding: str, text: str) -> str | None:
    if encoding == "url":
        return urllib.parse.unquote(text, errors="replace")
    try:
        raw = bytes.fromhex(text[: len(text) // 2 * 2]) if encoding == "hex" else _base64(text)
    except (binascii.Error, ValueError):
        return None
    printable = len(raw.translate(None, _UNREADABLE))
    return raw.decode("utf-8", "replace") if raw and printable >= READABLE * len(raw) else None


_UNREADABLE = bytes(code for code in range(256) if not (32 <= code < 127 or code in b"\t\n\r"))


def _base64(text: str) -> bytes:
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    body = body[: len(body) - (len(body) % 4 == 1)]
    return base64.b64decode(body + "=" * (-len(body) % 4))
