"""Thumbs over HTTP: whoever made an exchange says whether its answer, or its denial, was right."""

import asyncio
import time
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backstay.errors import UsageError
from backstay.guard.enforcer import Exchange
from backstay.guard.gateway.app import Front, guarded, json_response, read_body
from backstay.guard.gateway.context import on_disk
from backstay.guard.gateway.faults import ApiFault, bad_request
from backstay.guard.gateway.harvesting import Harvester
from backstay.guard.gateway.keys import Principal
from backstay.guard.gateway.limits import Rate
from backstay.guard.harvest.redacting import WITHHELD, Unredactable
from backstay.policy import Limit

MAX_BODY = 20_000
BODY_S = 30.0
"""Seconds within which a body must come."""
MAX_COMMENT = 4000
ACTION = "thumb"
FIELDS = frozenset({"exchange", "score", "comment"})


def feedback_routes(front: Front, harvest: Harvester | None) -> list[Route]:
    """POST /v1/feedback, where thumbs are kept."""
    if harvest is None or not harvest.takes_thumbs:
        return []
    return [Route("/v1/feedback", guarded(front, _Feedback(front, harvest).posted), methods=["POST"])]


class _Feedback:
    def __init__(self, front: Front, harvest: Harvester) -> None:
        self._front, self._harvest = front, harvest
        self._rates: dict[str, Rate] = {}

    async def posted(self, request: Request, principal: Principal) -> Response:
        """POST /v1/feedback: {exchange, score: 1 or -1, comment}; the id of the record."""
        self._front.open()
        self._admit(principal)
        exchange, score, comment = parsed(await read_body(request, MAX_BODY, BODY_S))
        await self._own(exchange, principal)
        await self._decide(exchange, score, comment, principal)
        keeper = self._harvest.keeper
        try:
            told = (await asyncio.to_thread(keeper.redactor.text, comment)).text if comment else ""
        except Unredactable:
            told = WITHHELD
        try:
            thumb = await asyncio.wrap_future(keeper.store.thumb(exchange, principal.id, score, told, keeper.now_ms()))
        except UsageError as error:  # It was deleted meanwhile.
            raise _unknown(exchange, principal) from error
        return json_response({"id": thumb.id, "exchange": exchange, "score": thumb.score})

    def _admit(self, principal: Principal) -> None:
        """Thumbs are counted for each principal; keys bound how many principals there are."""
        rate = self._rates.setdefault(principal.id, Rate(self._harvest.settings.feedback_per_minute))
        wait_s = rate.wait_s(time.monotonic())
        if wait_s:
            most = self._harvest.settings.feedback_per_minute
            raise ApiFault(
                429,
                "rate_limited",
                f"{principal.id} may give {most} thumbs a minute",
                headers={"retry-after": str(int(wait_s) + 1)},
            )

    async def _own(self, exchange: str, principal: Principal) -> None:
        """Raises ApiFault 404 where the exchange is not this principal's, is unknown or is not kept: all the same."""
        keeper = self._harvest.keeper
        under_way = keeper.under_way(exchange)
        if under_way is not None:
            await asyncio.wrap_future(under_way)
        owner = await asyncio.to_thread(keeper.store.owner, exchange, keeper.now_ms())
        if owner is None or owner.principal != principal.id:
            raise _unknown(exchange, principal)

    async def _decide(self, exchange: str, score: int, comment: str, principal: Principal) -> None:
        """Policy point `feedback`; raises ApiFault 403 for what is not allowed."""
        gateway = self._front.gateway
        found = gateway.scans.findings(comment, "feedback")
        about = Exchange(exchange, principal.id, principal.id, principal.roles, principal.attributes or {})
        ruling = gateway.enforcer.rule(
            about, "feedback", text=comment, findings=found, action=ACTION, args={"score": score}
        )
        await on_disk([ruling.written])
        if ruling.decision.effect != "allow":
            facts = {"decision": ruling.id, "exchange": exchange, "rules": list(ruling.decision.rules)}
            raise ApiFault(403, "denied", f"the feedback was denied: {ruling.why}", facts=facts)
        limits = [o for o in ruling.decision.obligations if isinstance(o, Limit)]
        what = ",".join(ruling.decision.rules) or "feedback"
        left = [gateway.limits.within(principal, what, limit) for limit in limits]
        if not all(left):
            raise ApiFault(429, "rate_limited", f"a limit that policy sets is used up: {ruling.why}")
        counted = gateway.enforcer.count(about, ruling)
        if counted is not None:
            await on_disk([counted])


def _unknown(exchange: str, principal: Principal) -> ApiFault:
    return ApiFault(404, "not_found", f"no exchange {exchange!r} of {principal.id} waits for feedback")


def parsed(raw: bytes) -> tuple[str, int, str]:
    """Exchange, score and comment of a body; raises ApiFault 400."""
    try:
        body: Any = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad_request("the body is not JSON") from error
    if not isinstance(body, dict) or not FIELDS.issuperset(body):
        raise bad_request(f"the body is an object with {', '.join(sorted(FIELDS))}")
    exchange, score, comment = body.get("exchange"), body.get("score"), body.get("comment") or ""
    if not isinstance(exchange, str) or not 0 < len(exchange) <= 36 or not exchange.isascii():
        raise bad_request("exchange is the id in the header x-backstay-exchange of the answer")
    if isinstance(score, bool) or score not in (1, -1) or not isinstance(score, int):
        raise bad_request("score is 1 (good) or -1 (bad)")
    if not isinstance(comment, str) or len(comment) > MAX_COMMENT:
        raise bad_request(f"comment is a text of at most {MAX_COMMENT} characters")
    return exchange, score, comment
