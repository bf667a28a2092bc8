"""Signed events to other systems, from the outbox of the database.

Header `Backstay-Signature: t=SECONDS,v1=HEX`; HEX is HMAC-SHA256 under the target's secret of `SECONDS.BODY`. An event
is sent until the target answers 2xx, so it may come twice: `Backstay-Event` carries its id.
"""

import hashlib
import hmac
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from backstay.errors import BackstayError, UsageError
from backstay.guard import checked_post
from backstay.guard.approvals import outbox, store
from backstay.guard.approvals.clock import Clock
from backstay.guard.approvals.outbox import Due
from backstay.guard.approvals.settings import Webhook, read_secret
from backstay.guard.checked_post import check_url
from backstay.guard.ledger import Ledger

SIGNATURE_HEADER = "Backstay-Signature"
EVENT_HEADER = "Backstay-Event"
MIN_SECRET_BYTES = 32
TOLERANCE_S = 300.0
BATCH = 5
_BUSY_S = BATCH * checked_post.DEADLINE_S


class DeliveryFailed(BackstayError):
    """A target did not confirm an event; it is sent again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where events go. Only https, or http to this machine; private addresses only where they are allowed."""

    name: str
    url: str
    secret: bytes
    allow_private: bool = False
    ssl_context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        if len(self.secret) < MIN_SECRET_BYTES:
            raise UsageError(
                f"the secret of webhook {self.name} has {len(self.secret)} bytes", cure=f"give {MIN_SECRET_BYTES}"
            )
        check_url(self.url, f"webhook {self.name}")


def targets_of(webhooks: Iterable[Webhook], folder: Path) -> tuple[Target, ...]:
    """Targets with their secrets read; relative secret files lie beside the approvers file."""
    return tuple(
        Target(
            name=webhook.name,
            url=webhook.url,
            secret=read_secret(folder / webhook.secret_file),
            allow_private=webhook.allow_private,
        )
        for webhook in webhooks
    )


def signature(secret: bytes, body: bytes, at_s: int) -> str:
    """The value of the signature header."""
    mac = hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={mac}"


def is_signed(secret: bytes, header: str, body: bytes, now_s: float) -> bool:
    """For receivers: whether the header signs this body and is at most five minutes old."""
    stamp, _, _ = header.removeprefix("t=").partition(",")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12) or abs(now_s - int(stamp)) > TOLERANCE_S:
        return False
    return hmac.compare_digest(header.encode(), signature(secret, body, int(stamp)).encode())


def post(target: Target, event_id: str, body: bytes, at_s: int) -> None:
    """Send one event; raises DeliveryFailed unless the answer is 2xx. Redirects are not followed."""
    headers = {
        "Content-Type": "application/json",
        SIGNATURE_HEADER: signature(target.secret, body, at_s),
        EVENT_HEADER: event_id,
    }
    try:
        status = checked_post.post(target.url, body, headers, private=target.allow_private, trust=target.ssl_context)
    except checked_post.PostFailed as error:
        raise DeliveryFailed(f"webhook {target.name}: {error.message}", cure=error.cure) from error
    if not 200 <= status < 300:
        raise DeliveryFailed(f"webhook {target.name} answered {status}")


class WebhookWorker:
    """Delivers what is due; several processes may run one each."""

    def __init__(
        self,
        ledger: Ledger,
        targets: Iterable[Target],
        *,
        clock: Clock | None = None,
        send: Callable[[Target, str, bytes, int], None] = post,
    ) -> None:
        self._ledger, self._clock, self._send = ledger, clock or Clock(), send
        self._targets = {target.name: target for target in targets}
        self._stop = threading.Event()

    def deliver(self) -> int:
        """Send what is due now; how many were confirmed. What fails stays in the outbox."""
        due = self._ledger.submit(
            lambda writer: outbox.take_due(writer.connection, self._now(writer.connection), _BUSY_S, BATCH)
        ).result()
        return sum(self._deliver(event) for event in due)

    def run(self, every_s: float = 1.0) -> None:
        """Deliver until `stop`; an error of the database is waited out."""
        while not self._stop.is_set():
            try:
                more = self.deliver()
            except BackstayError:
                more = 0
            if not more:
                self._stop.wait(every_s)

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    def _deliver(self, event: Due) -> bool:
        error = ""
        try:
            target = self._targets.get(event.target)
            if target is None:
                raise DeliveryFailed(f"no webhook {event.target!r} is configured")
            self._send(target, event.event_id, event.body.encode(), int(time.time()))
        except DeliveryFailed as failed:
            error = failed.message
        self._ledger.submit(
            lambda writer: (
                outbox.postponed(writer.connection, event, self._now(writer.connection), error)
                if error
                else outbox.delivered(writer.connection, event, self._now(writer.connection))
            )
        ).result()
        return not error

    def _now(self, connection: Connection) -> int:
        return self._clock.now_ms(store.seen_ms(connection))
