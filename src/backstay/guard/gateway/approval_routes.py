"""Approvals over HTTP: clients follow what they asked for, approvers look and decide."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backstay.errors import BackstayError
from backstay.guard.approvals import Approval, AsyncApprovals, Identity, Refusal, State, rendered
from backstay.guard.approvals.approval import utc
from backstay.guard.gateway.app import Front, guarded, json_response, read_body, wait_of
from backstay.guard.gateway.faults import ApiFault, bad_request, unavailable
from backstay.guard.gateway.holds import ApprovalHolds, fault_of_refusal
from backstay.guard.gateway.keys import Principal

APPROVER_HEADER = "x-backstay-approver"
MAX_BODY = 300_000
BODY_S = 30.0
Handler = Callable[[Request, Identity], Awaitable[Response]]


def approval_routes(front: Front, holds: ApprovalHolds) -> list[Route]:
    """The routes under /v1/approvals (for clients) and /v1/approver (for people)."""
    routes = _Routes(front, holds)
    return [
        Route("/v1/approvals/{id}", guarded(front, routes.followed), methods=["GET"]),
        Route("/v1/approvals/{id}/cancel", guarded(front, routes.cancelled), methods=["POST"]),
        Route("/v1/approver/approvals", routes.by_approver(routes.listed), methods=["GET"]),
        Route("/v1/approver/approvals/{id}", routes.by_approver(routes.shown), methods=["GET"]),
        Route("/v1/approver/approvals/{id}/decide", routes.by_approver(routes.decided), methods=["POST"]),
        Route("/v1/approver/approvals/{id}/edit", routes.by_approver(routes.edited), methods=["POST"]),
    ]


class _Routes:
    def __init__(self, front: Front, holds: ApprovalHolds) -> None:
        self._front, self._approvals = front, holds.approvals
        self._aio = AsyncApprovals(holds.approvals)

    async def followed(self, request: Request, principal: Principal) -> Response:
        """GET /v1/approvals/ID: its state, to whom asked for it; `Prefer: wait=N` waits for a change."""
        approval = await self._own(request, principal)
        wait_s = wait_of(request.headers, self._front.gateway.settings.holds.wait_s)
        if wait_s and approval.state is State.PENDING:
            approval = await self._aio.wait(approval.id, wait_s)
        return json_response(summary(approval))

    async def cancelled(self, request: Request, principal: Principal) -> Response:
        """POST /v1/approvals/ID/cancel: whoever asked withdraws."""
        approval = await self._own(request, principal)
        return json_response(summary(await self._do(self._approvals.cancel, approval.id, principal.id)))

    async def listed(self, request: Request, _: Identity) -> Response:
        """GET /v1/approver/approvals: what is pending, oldest first, 100 at a time beyond `after`."""
        found = await self._do(self._approvals.list, (State.PENDING,), request.query_params.get("after", ""), 100)
        return json_response({"approvals": [summary(approval) for approval in found]})

    async def shown(self, request: Request, _: Identity) -> Response:
        """GET /v1/approver/approvals/ID: exactly what is to be decided on, as text; its digest in a header."""
        approval = await self._do(self._approvals.get, request.path_params["id"])
        previous = await self._do(self._approvals.get, approval.supersedes) if approval.supersedes else None
        text = rendered(approval, previous)
        headers = {"x-backstay-digest": approval.digest, "x-backstay-state": str(approval.state)}
        return Response(text, media_type="text/plain; charset=utf-8", headers=headers)

    async def decided(self, request: Request, approver: Identity) -> Response:
        """POST /v1/approver/approvals/ID/decide: {vote, digest, reason, key}."""
        body = await _body(request, ("vote", "digest", "reason", "key"))
        vote, digest, reason, key = (body[name] for name in ("vote", "digest", "reason", "key"))
        if vote not in ("approve", "deny", "break_glass"):
            raise bad_request("vote is one of approve, deny, break_glass")
        found = await self._do(self._approvals.decide, request.path_params["id"], approver, vote, digest, reason, key)
        return json_response(summary(found))

    async def edited(self, request: Request, approver: Identity) -> Response:
        """POST /v1/approver/approvals/ID/edit: {args, digest}; a new approval takes its place."""
        body = await _body(request, ("digest",))
        if not isinstance(body.get("args"), dict):
            raise bad_request("args is an object with all arguments of the call")
        found = await self._do(self._approvals.edit, request.path_params["id"], approver, body["args"], body["digest"])
        return json_response(summary(found))

    def by_approver(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A route for people who approve: header x-backstay-approver names them, their token proves it."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request, await self._approver(request))
            except ApiFault as fault:
                return Response(fault.body(), fault.status, headers=fault.headers, media_type="application/json")
            except Refusal as refusal:
                refused = fault_of_refusal(refusal)
                return Response(refused.body(), refused.status, media_type="application/json")
            except BackstayError as error:
                down = unavailable(error.message)
                return Response(down.body(), down.status, headers=down.headers, media_type="application/json")

        return answer

    async def _approver(self, request: Request) -> Identity:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise ApiFault(401, "unauthorized", "send Authorization: Bearer with your approver's token")
        directory = await asyncio.to_thread(self._approvals.directory)
        return directory.authenticate(request.headers.get(APPROVER_HEADER, ""), token.strip())

    async def _own(self, request: Request, principal: Principal) -> Approval:
        if not principal.may_use("approvals"):
            raise ApiFault(403, "denied", f"the key {principal.id} is not for approvals")
        found: Approval = await self._do(self._approvals.latest, request.path_params["id"])
        if found.principal != principal.id:
            raise ApiFault(404, "not_found", f"no approval {request.path_params['id'][:40]!r} of {principal.id}")
        return found

    async def _do(self, method: Callable[..., Any], *args: Any) -> Any:
        try:
            return await self._aio.do(method, *args)
        except Refusal as refusal:
            raise fault_of_refusal(refusal) from refusal


def summary(approval: Approval) -> dict[str, Any]:
    """What a client is told of an approval."""
    return {
        "id": approval.id,
        "state": str(approval.state),
        "digest": approval.digest,
        "tool": approval.tool,
        "action": approval.content["action"],
        "principal": approval.principal,
        "reasons": list(approval.reasons),
        "needs": [{"k": stage.k, "of": sorted(stage.roles)} for stage in approval.stages],
        "votes": [{"person": vote.person, "vote": vote.vote, "at": utc(vote.at_ms)} for vote in approval.votes],
        "asked_at": utc(approval.asked_at_ms),
        "expires_at": utc(approval.expires_at_ms),
        "supersedes": approval.supersedes,
        "superseded_by": approval.superseded_by,
    }


async def _body(request: Request, texts: tuple[str, ...]) -> dict[str, Any]:
    try:
        body = orjson.loads(await read_body(request, MAX_BODY, BODY_S))
    except orjson.JSONDecodeError as error:
        raise bad_request("the body is not JSON") from error
    if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in texts):
        raise bad_request(f"the body is an object with the texts {', '.join(texts)}")
    return body
