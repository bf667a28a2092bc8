"""Pages of webhooks: who is told of what, and what became of telling them."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from backstay.errors import BackstayError, UsageError
from backstay.feedback.collection.submission import iso_time
from backstay.guard.sealing import Seals
from backstay.storage.unit import Unit
from backstay.web.accounts.refusal import Refused
from backstay.web.admin_pages.frame import Did, Id, one_line, page, refused
from backstay.web.api.rating import Here
from backstay.web.api.webhooks import Admin
from backstay.web.console import Console
from backstay.web.governance_pages.frame import fields_of, or_back
from backstay.web.pages import see
from backstay.web.webhooks import hooks, outbox
from backstay.web.webhooks.events import EVENTS, Event
from backstay.web.webhooks.outbox import State

router = APIRouter(prefix="/admin/webhooks", include_in_schema=False)
HOME = "/admin/webhooks"
PAGE_SIZE = 50
TELLS: Mapping[str, str] = {
    "judgment.created": "A rater's answer was stored",
    "judgment.retracted": "A rater took the last judgment back",
    "item.done": "An item has its votes and is certain enough",
    "item.disputed": "An item has all its votes, and raters do not agree",
    "rater.paused": "A rater was paused, or must qualify again",
    "import.done": "A file was stored",
    "proposal.opened": "A change waits for a second person",
    "proposal.settled": "The second person decided",
}
DeliveryId = Annotated[int, Path(ge=1, le=2**62)]


@router.get("")
async def webhooks(request: Request, _: Admin, console: Here, did: Did = "") -> Response:
    """Every webhook, and the form of a new one."""
    return await _list(request, console, did=did)


@router.post("")
async def make(request: Request, who: Admin, console: Here) -> Response:
    """{url, note, event.NAME ...}: a webhook, whose secret is shown on the page that answers."""
    fields, seals = await fields_of(request), _seals(console)
    try:
        url, note, events = _checked(console, fields)
        made, secret = await console.write(lambda unit: hooks.make(unit, seals, who.account_id, url, events, note))
    except BackstayError as error:
        return await _list(request, console, problem=refused(error), typed=fields)
    return await _one(request, made.id, console, secret=secret)


@router.get("/{webhook}")
async def webhook_page(
    request: Request,
    webhook: Id,
    _: Admin,
    console: Here,
    did: Did = "",
    state: State | None = None,
    after: Annotated[int | None, Query(ge=1, le=2**62)] = None,
) -> Response:
    """One webhook, and what it was told."""
    return await _one(request, webhook, console, did=did, state=state, after=after)


@router.post("/{webhook}")
async def change(request: Request, webhook: Id, who: Admin, console: Here) -> Response:
    """{url, note, event.NAME ...}: where to, and what about."""
    fields = await fields_of(request)
    await or_back(HOME, console.read(lambda connection: hooks.find(connection, webhook)))
    try:
        url, note, events = _checked(console, fields)
        await console.write(lambda unit: hooks.change(unit, who.account_id, webhook, url=url, events=events, note=note))
    except BackstayError as error:
        return await _one(request, webhook, console, problem=refused(error), typed=fields)
    return see(f"{HOME}/{webhook}?did=saved")


@router.post("/{webhook}/state")
async def switch(request: Request, webhook: Id, who: Admin, console: Here) -> Response:
    """{did: on | off}."""
    did = (await fields_of(request)).get("did", "")
    if did not in ("on", "off"):
        raise UsageError("a webhook is on or off", cure="load the page again")
    work = console.write(lambda unit: hooks.change(unit, who.account_id, webhook, state="on" if did == "on" else "off"))
    await or_back(HOME, work)
    return see(f"{HOME}/{webhook}?did={did}")


@router.post("/{webhook}/secret")
async def rotate(request: Request, webhook: Id, who: Admin, console: Here) -> Response:
    """A new secret, shown on the page that answers."""
    seals = _seals(console)
    work = console.write(lambda unit: hooks.rotate(unit, seals, who.account_id, webhook))
    _, secret = await or_back(HOME, work)
    return await _one(request, webhook, console, secret=secret)


@router.post("/{webhook}/test")
async def send_test(webhook: Id, _: Admin, console: Here) -> Response:
    """Send an event that tells nothing."""

    def work(unit: Unit) -> None:
        hooks.find(unit.connection, webhook)
        outbox.put_test(unit, webhook)

    await or_back(HOME, console.write(work))
    return see(f"{HOME}/{webhook}?did=tested")


@router.post("/{webhook}/remove")
async def remove(webhook: Id, who: Admin, console: Here) -> Response:
    """Remove a webhook and what it has yet to be told."""
    await or_back(HOME, console.write(lambda unit: hooks.remove(unit, who.account_id, webhook)))
    return see(f"{HOME}?did=removed")


@router.post("/{webhook}/deliveries/{delivery}/redeliver")
async def redeliver(webhook: Id, delivery: DeliveryId, who: Admin, console: Here) -> Response:
    """Send an event once more."""
    work = console.write(lambda unit: outbox.redeliver(unit, webhook, delivery, who.account_id))
    await or_back(f"{HOME}/{webhook}", work)
    return see(f"{HOME}/{webhook}?did=again")


async def _list(
    request: Request,
    console: Console,
    *,
    did: str = "",
    problem: Refused | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    found = await console.read(hooks.listed)
    return await page(
        request,
        "webhooks",
        "webhooks",
        did=did,
        status=problem.status if problem else 200,
        hooks=found,
        tells=TELLS,
        problem=problem,
        typed=typed or {},
    )


async def _one(
    request: Request,
    webhook: str,
    console: Console,
    *,
    did: str = "",
    state: State | None = None,
    after: int | None = None,
    secret: str = "",
    problem: Refused | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    def query(connection: Connection) -> dict[str, Any]:
        hook = hooks.find(connection, webhook)
        found = outbox.listed(connection, webhook, state, after, PAGE_SIZE)
        more = found[-1].id if len(found) == PAGE_SIZE else None
        return {"hook": hook, "deliveries": [(one, iso_time(one.created_ms)) for one in found], "more": more}

    told = await or_back(HOME, console.read(query))
    old_until_ms = told["hook"].old_until_ms
    return await page(
        request,
        "webhook",
        "webhooks",
        did=did,
        status=problem.status if problem else 200,
        **told,
        tells=TELLS,
        state=state or "",
        secret=secret,
        problem=problem,
        typed=typed,
        old_until=iso_time(old_until_ms) if old_until_ms and old_until_ms > console.clock() else "",
    )


def _checked(console: Console, fields: Mapping[str, str]) -> tuple[str, str, list[Event]]:
    url, note = one_line(fields, "url", 2000), one_line(fields, "note")
    hooks.check_target(url, private=console.settings.webhook_private)
    events = [event for event in EVENTS if f"event.{event}" in fields]
    if not events:
        raise UsageError("no event is chosen", cure="tick what it is to be told")
    return url, note, events


def _seals(console: Console) -> Seals:
    return Seals(console.ledger, hooks.PURPOSE)
