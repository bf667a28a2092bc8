"""Whether a text of a secret's shape is one: checksums where formats have them, disorder where they have none."""

import base64
import binascii
import json
import math
import zlib
from collections import Counter

from backstay.scan.rule import Judge, Severity

BITS = 3.0
"""Entropy per character from which on a value without a format of its own may be a secret."""

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_EXAMPLES = (
    b"example",
    b"placeholder",
    b"changeme",
    b"your",
    b"insert",
    b"dummy",
    b"xxxx",
    b"<",
    b"${",
    b"{{",
    b"1234567890",
)


def entropy_bits(value: bytes) -> float:
    """Shannon entropy of the characters of a value, in bits per character; 0 for an empty one."""
    counts, total = Counter(value).values(), len(value)
    return -sum(n / total * math.log2(n / total) for n in counts) if total else 0.0


def is_uuid(value: bytes) -> bool:
    """True for 8-4-4-4-12 hexadecimal digits."""
    parts = value.split(b"-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and not value.replace(b"-", b"").lower().strip(
        b"0123456789abcdef"
    )


def looks_random(value: bytes) -> bool:
    """Letters and digits mixed, of some entropy, and neither an identifier nor an example."""
    lower = value.lower()
    mixed = any(48 <= c <= 57 for c in value) and value.lower() != value.upper()
    return mixed and not is_uuid(value) and not any(e in lower for e in _EXAMPLES) and entropy_bits(value) >= BITS


def base62_crc32(value: bytes, digits: int = 6) -> str:
    """CRC-32 of a value in base 62, as the last six characters of GitHub's and npm's tokens hold it."""
    number, out = zlib.crc32(value), ""
    while number:
        number, digit = divmod(number, 62)
        out = _BASE62[digit] + out
    return out.rjust(digits, "0")


def _random(value: bytes) -> Severity | None:
    return "high" if looks_random(value) else None


def _crc_token(value: bytes) -> Severity | None:
    """Certain where the check digits hold; where they do not, a token of an older make or a made-up one."""
    body = value.partition(b"_")[2]
    return "critical" if base62_crc32(body[:-6]).encode() == body[-6:] else "high"


def json_segment(value: bytes) -> dict[str, object] | None:
    """The JSON object that a base64url segment holds, None where it holds none."""
    try:
        held = json.loads(base64.urlsafe_b64decode(value + b"=" * (-len(value) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None


def _jwt(value: bytes) -> Severity | None:
    header = json_segment(value.partition(b".")[0])
    return "high" if header is not None and ("alg" in header or "typ" in header) else None


def _not_variable(value: bytes) -> Severity | None:
    return None if value[:1] in (b"$", b"{", b"%", b"*") else "high"


def _artifactory(value: bytes) -> Severity | None:
    """Words in capitals (`APARTMENTBUILDING`) have the shape too: a token holds a digit or both cases."""
    rest = value[3:]
    return None if rest.isupper() and rest.isalpha() else "high"


JUDGES: dict[str, Judge] = {
    "random": _random,
    "crc": _crc_token,
    "jwt": _jwt,
    "not_variable": _not_variable,
    "artifactory": _artifactory,
}
"""Checks by the name that rule files use."""
