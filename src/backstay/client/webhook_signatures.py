"""For whoever receives webhooks: whether a request really comes from the console, and only now."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from backstay.errors import IntegrityError

TOLERANCE_S = 300.0
"""How far the time of a request may be from ours: an older one may be a copy that somebody sends again."""


def check_webhook(
    secrets: str | Sequence[str], headers: Mapping[str, str], body: bytes, *, now_s: float | None = None
) -> dict[str, Any]:
    """The event in a request's body; raises IntegrityError unless one of the secrets has signed it just now.

    The same event may come twice: keep header `webhook-id` for as long as TOLERANCE_S and drop what you know.
    """
    given = {name.lower(): value for name, value in headers.items()}
    name, stamp, marks = (given.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature"))
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise IntegrityError("the webhook has no timestamp", cure="answer 400 and do nothing")
    if abs((time.time() if now_s is None else now_s) - int(stamp)) > TOLERANCE_S:
        raise IntegrityError("the webhook is too old, or this clock is wrong", cure="answer 400; set the clock")
    signed = f"{name}.{stamp}.".encode() + body
    keys = [_key(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    wanted = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()) for key in keys]
    found = [mark.removeprefix("v1,").encode() for mark in marks.split(" ") if mark.startswith("v1,")]
    if not any(hmac.compare_digest(one, other) for one in wanted for other in found):
        raise IntegrityError("the webhook is not signed with this secret", cure="answer 400 and do nothing")
    event: dict[str, Any] = json.loads(body)
    return event


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise IntegrityError("the secret is no whsec_ secret", cure="copy it as it was shown") from error
