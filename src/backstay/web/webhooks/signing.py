"""Signatures of events, as the Standard Webhooks specification has them.

`webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`; while a secret is being replaced
there is one for each secret, apart by a space.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """A secret as people copy it: `whsec_` and the base64 of its bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The bytes of a secret."""
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)


def headers(keys: Sequence[bytes], event_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers of an event that is sent now."""
    signed = f"{event_id}.{at_s}.".encode() + body
    marks = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys]
    return {
        "content-type": "application/json",
        "user-agent": "backstay-webhooks/1",
        "webhook-id": event_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{mark}" for mark in marks),
    }
