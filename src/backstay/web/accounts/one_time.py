"""Random secrets that are shown once: what is kept of them is a hash, from which nobody can make one."""

import hashlib
import secrets
import uuid


def new_secret(prefix: str = "") -> str:
    """256 random bits, URL-safe, behind a prefix by which scanners of leaks can tell what it is."""
    return prefix + secrets.token_urlsafe(32)


def secret_sha256(secret: str) -> str:
    """What is kept of a secret. It is random, so that a plain hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def new_id() -> str:
    """A random id."""
    return str(uuid.uuid4())
