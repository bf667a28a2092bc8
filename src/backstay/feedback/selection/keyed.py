"""Chance that nobody without the key can foretell, and that anybody with the key can draw again."""

import hashlib
import hmac

import numpy as np

from backstay.errors import UsageError

LEAST_KEY_BYTES = 16


def keyed_rng(key: bytes, *parts: str | int) -> np.random.Generator:
    """A generator seeded by HMAC-SHA256 of the parts; equal parts under an equal key draw the same.

    Parts are told apart by their lengths and types, so ("ab", "c") is not ("a", "bc"), nor "1" 1.
    """
    if len(key) < LEAST_KEY_BYTES:
        raise UsageError(f"the key has {len(key)} bytes; give at least {LEAST_KEY_BYTES} random ones")
    told = b"".join(_framed(part) for part in parts)
    digest = hmac.new(key, told, hashlib.sha256).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def _framed(part: str | int) -> bytes:
    data = str(part).encode()
    return (b"s" if isinstance(part, str) else b"i") + len(data).to_bytes(4, "big") + data
