"""Webhooks as they are kept: where to, what about, and under which sealed secret."""

import contextlib
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from backstay.guard.addresses import is_loopback
from backstay.guard.checked_post import check_url
from backstay.guard.sealing import Seals
from backstay.records import uuid7
from backstay.storage.unit import Unit
from backstay.storage.webhook_tables import webhook_deliveries, webhooks
from backstay.web.accounts.refusal import Refused, not_here
from backstay.web.webhooks.events import Event
from backstay.web.webhooks.signing import key_of, new_secret

PURPOSE = "secrets of webhooks"
MOST = 20
"""Webhooks of one console."""
OVERLAP_MS = 86_400_000
"""How long events are signed with the former secret too, once there is a new one."""

_CURE = "name a public https address, or set webhook_private for targets in your own network"


@dataclass(frozen=True, slots=True)
class Webhook:
    """What is known of a webhook; not its secret."""

    id: str
    url: str
    note: str
    events: tuple[Event, ...]
    state: Literal["on", "off"]
    created_by: str
    created_ms: int
    old_until_ms: int | None


def check_target(url: str, *, private: bool) -> None:
    """Refuse what is no address, and one of this machine or the own network unless `private`.

    Names of hosts are looked up when something is sent, since they may lead elsewhere by then.
    """
    host = str(check_url(url, "webhook").hostname)
    inside = is_loopback(host)
    with contextlib.suppress(ValueError):
        inside = inside or not ipaddress.ip_address(host).is_global
    if inside and not private:
        raise Refused(422, "target_refused", f"a webhook does not go to {host}", cure=_CURE)


def make(unit: Unit, seals: Seals, by: str, url: str, events: Sequence[Event], note: str) -> tuple[Webhook, str]:
    """A webhook, switched on, and its secret, which is shown once."""
    if unit.connection.execute(select(func.count()).select_from(webhooks)).scalar_one() >= MOST:
        raise Refused(409, "too_many_webhooks", f"there are {MOST} webhooks already", cure="remove one first")
    hook, secret = uuid7(), new_secret()
    row = {
        "id": hook,
        "url": url,
        "note": note,
        "events": _text(events),
        "state": "on",
        "sealed_secret": seals.seal(secret.encode(), hook),
        "created_by": by,
        "created_ms": unit.now_ms,
    }
    unit.connection.execute(insert(webhooks), [row])
    _note(unit, by, hook, "create", {"url": url, "events": list(events)})
    return find(unit.connection, hook), secret


def change(
    unit: Unit,
    by: str,
    hook: str,
    *,
    url: str | None = None,
    events: Sequence[Event] | None = None,
    note: str | None = None,
    state: Literal["on", "off"] | None = None,
) -> Webhook:
    """Change what is given. What waits for a webhook that is switched off is sent once it is on again."""
    find(unit.connection, hook)
    given = {"url": url, "events": None if events is None else _text(events), "note": note, "state": state}
    changes = {name: value for name, value in given.items() if value is not None}
    if changes:
        unit.connection.execute(update(webhooks).where(webhooks.c.id == hook).values(changes))
        _note(unit, by, hook, "change", changes)
    return find(unit.connection, hook)


def rotate(unit: Unit, seals: Seals, by: str, hook: str) -> tuple[Webhook, str]:
    """A new secret, shown once; for a day events are signed with both."""
    find(unit.connection, hook)
    where, secret = webhooks.c.id == hook, new_secret()
    changes = {
        "sealed_old_secret": webhooks.c.sealed_secret,
        "old_until_ms": unit.now_ms + OVERLAP_MS,
        "sealed_secret": seals.seal(secret.encode(), hook),
    }
    unit.connection.execute(update(webhooks).where(where).values(changes))
    _note(unit, by, hook, "rotate", {})
    return find(unit.connection, hook), secret


def remove(unit: Unit, by: str, hook: str) -> None:
    """Remove a webhook and what it has yet to be told."""
    found = find(unit.connection, hook)
    unit.connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.webhook_id == hook))
    unit.connection.execute(delete(webhooks).where(webhooks.c.id == hook))
    _note(unit, by, hook, "remove", {"url": found.url})


def find(connection: Connection, hook: str) -> Webhook:
    """A webhook; raises Refused 404."""
    row = connection.execute(select(webhooks).where(webhooks.c.id == hook)).first()
    if row is None:
        raise not_here("webhook")
    return _webhook(row)


def listed(connection: Connection, after: str = "", limit: int = 100) -> list[Webhook]:
    """Webhooks, the oldest first."""
    query = select(webhooks).where(webhooks.c.id > after).order_by(webhooks.c.id).limit(limit)
    return [_webhook(row) for row in connection.execute(query)]


def keys_of(connection: Connection, seals: Seals, hook: str, now_ms: int) -> list[bytes]:
    """The keys that an event is signed with now: that of the secret, and of the former one while both hold."""
    row = connection.execute(select(webhooks).where(webhooks.c.id == hook)).first()
    if row is None:
        raise not_here("webhook")
    sealed = [row.sealed_secret]
    if row.sealed_old_secret is not None and (row.old_until_ms or 0) > now_ms:
        sealed.append(row.sealed_old_secret)
    return [key_of(seals.open(bytes(secret), hook).decode()) for secret in sealed]


def _note(unit: Unit, by: str, hook: str, did: str, about: dict[str, Any]) -> None:
    unit.note("console.webhook", {"by": by, "did": did, "webhook": hook} | about)


def _text(events: Sequence[Event]) -> str:
    return json.dumps(sorted(set(events)))


def _webhook(row: Row[Any]) -> Webhook:
    events = tuple(json.loads(row.events))
    return Webhook(row.id, row.url, row.note, events, row.state, row.created_by, row.created_ms, row.old_until_ms)
