"""Identifiers: UUIDv7 (RFC 9562 section 5.7) where order of creation matters, content hashes elsewhere."""

import secrets
import time
import uuid
from typing import Any

from backstay.records.canonical import content_hash


def uuid7() -> str:
    """A UUIDv7: 48 bits of Unix milliseconds, then 74 random bits, so that ids sort by time of creation."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def content_id(kind: str, value: Any) -> str:
    """`kind` and the first 20 hex digits (80 bits) of the value's content hash, as in `prompt-1f0c...`."""
    return f"{kind}-{content_hash(value)[:20]}"
