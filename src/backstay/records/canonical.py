"""Canonical JSON (RFC 8785) and the hashes made of it."""

import hashlib
from pathlib import Path
from typing import Any

import rfc8785


def canonical_json(value: Any) -> bytes:
    """Serialise JSON-like data as RFC 8785 canonical bytes; equal data gives equal bytes.

    Raises ValueError (a subclass of it) for what JSON cannot hold: NaN, infinities, integers beyond 2**53.
    """
    return rfc8785.dumps(value)


def sha256_hex(data: bytes) -> str:
    """SHA-256 of bytes as 64 lowercase hex digits."""
    return hashlib.sha256(data).hexdigest()


def content_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value, as hex."""
    return sha256_hex(canonical_json(value))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in blocks, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
