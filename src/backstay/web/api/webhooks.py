"""Webhooks: who is told of what happens, and what became of telling them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import Connection
from starlette.responses import JSONResponse, Response

from backstay.feedback.collection.submission import iso_time, storable
from backstay.guard.sealing import Seals
from backstay.storage.unit import Unit
from backstay.web.api import shapes
from backstay.web.api.paging import Limit
from backstay.web.api.rating import Here
from backstay.web.console import Console
from backstay.web.gate import Principal, allowed
from backstay.web.permissions import Permission
from backstay.web.shown import Json
from backstay.web.webhooks import hooks, outbox
from backstay.web.webhooks.events import Event
from backstay.web.webhooks.hooks import Webhook
from backstay.web.webhooks.outbox import Delivery, State

router = APIRouter(prefix="/api/v1", tags=["webhooks"])
Admin = Annotated[Principal, Depends(allowed(Permission.MANAGE_WEBHOOKS))]
HookId = Annotated[str, Path(max_length=36)]
DeliveryId = Annotated[int, Path(ge=1, le=2**62)]
Url = Annotated[str, Field(min_length=8, max_length=2000)]
Note = Annotated[str, Field(max_length=200)]
Events = Annotated[tuple[Event, ...], Field(min_length=1, max_length=20)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @field_validator("url", "note", check_fields=False)
    @classmethod
    def _is_text(cls, value: str | None) -> str | None:
        return value if value is None else storable(value)


class NewWebhook(_Body):
    """A webhook to be made."""

    url: Url
    events: Events
    note: Note = ""


class WebhookChange(_Body):
    """What is to be changed; what is not named stays."""

    url: Url | None = None
    events: Events | None = None
    note: Note | None = None
    state: Literal["on", "off"] | None = None


@router.get("/webhooks", response_model=shapes.Webhooks)
async def list_webhooks(
    _: Admin, console: Here, after: Annotated[str, Query(max_length=36)] = "", limit: Limit = 100
) -> JSONResponse:
    """Webhooks, the oldest first."""
    found = await console.read(lambda connection: hooks.listed(connection, after, limit))
    following = found[-1].id if len(found) == limit else None
    return JSONResponse({"webhooks": [webhook_json(hook) for hook in found], "next": following})


@router.post("/webhooks", status_code=201, response_model=shapes.WebhookMade)
async def make_webhook(body: NewWebhook, who: Admin, console: Here) -> JSONResponse:
    """Make a webhook; its secret is shown this once."""
    hooks.check_target(body.url, private=console.settings.webhook_private)
    seals = _seals(console)
    made, secret = await console.write(
        lambda unit: hooks.make(unit, seals, who.account_id, body.url, body.events, body.note)
    )
    return JSONResponse(webhook_json(made) | {"secret": secret}, 201)


@router.get("/webhooks/{webhook}", response_model=shapes.Webhook)
async def get_webhook(webhook: HookId, _: Admin, console: Here) -> JSONResponse:
    """One webhook."""
    return JSONResponse(webhook_json(await console.read(lambda connection: hooks.find(connection, webhook))))


@router.patch("/webhooks/{webhook}", response_model=shapes.Webhook)
async def change_webhook(webhook: HookId, body: WebhookChange, who: Admin, console: Here) -> JSONResponse:
    """Change a webhook, or switch it off and on."""
    if body.url is not None:
        hooks.check_target(body.url, private=console.settings.webhook_private)

    def work(unit: Unit) -> Webhook:
        return hooks.change(
            unit, who.account_id, webhook, url=body.url, events=body.events, note=body.note, state=body.state
        )

    return JSONResponse(webhook_json(await console.write(work)))


@router.delete("/webhooks/{webhook}", status_code=204, response_class=Response)
async def remove_webhook(webhook: HookId, who: Admin, console: Here) -> Response:
    """Remove a webhook and what it has yet to be told."""
    await console.write(lambda unit: hooks.remove(unit, who.account_id, webhook))
    return Response(status_code=204)


@router.post("/webhooks/{webhook}/secret", response_model=shapes.WebhookMade)
async def rotate_webhook_secret(webhook: HookId, who: Admin, console: Here) -> JSONResponse:
    """Make a new secret, shown this once; for a day events are signed with both."""
    seals = _seals(console)
    found, secret = await console.write(lambda unit: hooks.rotate(unit, seals, who.account_id, webhook))
    return JSONResponse(webhook_json(found) | {"secret": secret})


@router.post("/webhooks/{webhook}/test", status_code=202, response_model=shapes.Delivery)
async def try_webhook(webhook: HookId, _: Admin, console: Here) -> JSONResponse:
    """Send an event that tells nothing, so that a receiver can be tried out."""

    def work(unit: Unit) -> Delivery:
        hooks.find(unit.connection, webhook)
        return outbox.put_test(unit, webhook)

    return JSONResponse(delivery_json(await console.write(work)), 202)


@router.get("/webhooks/{webhook}/deliveries", response_model=shapes.Deliveries)
async def list_deliveries(
    webhook: HookId,
    _: Admin,
    console: Here,
    state: State | None = None,
    after: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    limit: Limit = 100,
) -> JSONResponse:
    """What a webhook was told or is yet to be told, the newest first."""

    def query(connection: Connection) -> list[Delivery]:
        hooks.find(connection, webhook)
        return outbox.listed(connection, webhook, state, after, limit)

    found = await console.read(query)
    following = found[-1].id if len(found) == limit else None
    return JSONResponse({"deliveries": [delivery_json(delivery) for delivery in found], "next": following})


@router.post(
    "/webhooks/{webhook}/deliveries/{delivery}/redeliver",
    status_code=202,
    response_model=shapes.Delivery,
)
async def redeliver(webhook: HookId, delivery: DeliveryId, who: Admin, console: Here) -> JSONResponse:
    """Send an event once more, under the id it had."""
    again = await console.write(lambda unit: outbox.redeliver(unit, webhook, delivery, who.account_id))
    return JSONResponse(delivery_json(again), 202)


def webhook_json(hook: Webhook) -> Json:
    """A webhook as JSON data, without its secret."""
    return {
        "id": hook.id,
        "url": hook.url,
        "note": hook.note,
        "events": list(hook.events),
        "state": hook.state,
        "created_by": hook.created_by,
        "created_at": iso_time(hook.created_ms),
        "old_secret_until": None if hook.old_until_ms is None else iso_time(hook.old_until_ms),
    }


def delivery_json(delivery: Delivery) -> Json:
    """A delivery as JSON data."""
    return {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "event": delivery.event,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "created_at": iso_time(delivery.created_ms),
        "next_at": None if delivery.next_at_ms is None else iso_time(delivery.next_at_ms),
        "ended_at": None if delivery.ended_ms is None else iso_time(delivery.ended_ms),
        "last_error": delivery.last_error,
    }


def _seals(console: Console) -> Seals:
    return Seals(console.ledger, hooks.PURPOSE)
