"""The pages of the inbox and what they post. GET never decides."""

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from backstay.errors import UsageError
from backstay.guard.approvals import Approval, Approvals, AsyncApprovals, Refusal, State
from backstay.guard.inbox.evidence import Read, origins_of
from backstay.guard.inbox.forms import read_form, typed_args
from backstay.guard.inbox.gate import Gate, Visitor
from backstay.guard.inbox.link_pages import LinkPages
from backstay.guard.inbox.pages import HEADERS, Pages, see
from backstay.guard.inbox.same_origin import Site
from backstay.guard.inbox.signing_in import HOME, SigningIn
from backstay.guard.inbox.views import detail_of, rows_of
from backstay.guard.inbox.watch import Watch
from backstay.guard.inbox.wording import title_of

PAGE = 100
DECIDED = tuple(sorted(set(State) - {State.PENDING}))
_NOTICES = {
    "approve": "Your approval is recorded.",
    "deny": "Denied. The call will not run.",
    "break_glass": "Recorded: you broke the glass for this call. It has been announced.",
}


def inbox_routes(
    approvals: Approvals,
    read: Read,
    listens_on: str,
    origin: str = "",
    is_stopping: Callable[[], bool] = lambda: False,
) -> list[Route]:
    """The routes under /approvals, for a gateway that listens on this address; `read` reads the ledger."""
    pages = Pages()
    gate = Gate(approvals, Site(listens_on, origin), pages)
    signing, links = SigningIn(approvals, gate, pages), LinkPages(approvals, gate, pages)
    inbox = _Inbox(approvals, read, gate, pages, is_stopping)

    async def asset(request: Request) -> Response:
        found = pages.asset(request.path_params["name"])
        return found or gate.told(404, "Not here", "There is no such file.")

    def get(path: str, handler: Callable[[Request], Any]) -> Route:
        return Route(path, handler, methods=["GET"])

    def post(path: str, handler: Callable[[Request], Any]) -> Route:
        return Route(path, handler, methods=["POST"])

    return [
        get("/approvals/sign-in", gate.anyone(signing.form)),
        post("/approvals/sign-in", gate.anyone(signing.sign_in)),
        post("/approvals/sign-out", gate.signed_in(signing.sign_out)),
        get("/approvals/assets/{name}", gate.anyone(asset)),
        get("/approvals/link/{token}", gate.anyone(links.shown)),
        post("/approvals/link/{token}", gate.anyone(links.decided)),
        get("/approvals", gate.signed_in(inbox.waiting)),
        get("/approvals/done", gate.signed_in(inbox.done)),
        get("/approvals/changes", gate.anyone(inbox.changes)),
        get("/approvals/{id}", gate.signed_in(inbox.detail)),
        post("/approvals/{id}/decide", gate.signed_in(inbox.decide)),
        post("/approvals/{id}/edit", gate.signed_in(inbox.edit)),
        get("/approvals/{id}/{_}", gate.anyone(_back)),
    ]


async def _back(request: Request) -> Response:
    return see(f"{HOME}/{request.path_params['id'][:40]}")


class _Inbox:
    def __init__(
        self, approvals: Approvals, read: Read, gate: Gate, pages: Pages, is_stopping: Callable[[], bool]
    ) -> None:
        self._approvals, self._read, self._gate, self._pages = approvals, read, gate, pages
        self._aio = AsyncApprovals(approvals)
        self._watch = Watch(approvals.stamp, is_stopping)

    async def waiting(self, request: Request, visitor: Visitor) -> Response:
        """GET /approvals: what is pending, oldest first."""
        stamp = await self._watch.stamp()
        after = request.query_params.get("after", "")[:40]
        found = await self._aio.do(self._approvals.list, (State.PENDING,), after, PAGE)
        now_ms = await self._aio.do(self._approvals.now_ms)
        pending = [approval for approval in found if approval.state is State.PENDING]
        return self._pages.page(
            "waiting",
            visitor=visitor,
            notice=visitor.notice(),
            rows=rows_of(pending, visitor.id, visitor.directory, now_ms),
            after=after,
            more=found[-1].id if len(found) == PAGE else "",
            stamp=stamp,
        )

    async def done(self, _: Request, visitor: Visitor) -> Response:
        """GET /approvals/done: what has been decided or has ended, newest first."""
        found = await self._aio.do(self._approvals.recent, DECIDED, PAGE)
        now_ms = await self._aio.do(self._approvals.now_ms)
        rows = rows_of(found, visitor.id, visitor.directory, now_ms)
        return self._pages.page("done", visitor=visitor, notice=visitor.notice(), rows=rows, most=PAGE)

    async def changes(self, request: Request) -> Response:
        """GET /approvals/changes?about=ID&seen=STAMP: waits for a change; being told of one is no use of a session."""
        if await self._gate.visitor(request, touch=False) is None:
            return JSONResponse({"signed_in": False}, 401, HEADERS)
        about, seen = (request.query_params.get(name, "")[:40] for name in ("about", "seen"))
        return JSONResponse({"stamp": await self._watch.changed(about, seen)}, 200, HEADERS)

    async def detail(self, request: Request, visitor: Visitor) -> Response:
        """GET /approvals/ID."""
        return await self._shown(request.path_params["id"], visitor)

    async def decide(self, request: Request, visitor: Visitor) -> Response:
        """POST /approvals/ID/decide: {vote, digest, reason, key, form}."""
        approval_id, fields = request.path_params["id"], await read_form(request)
        vote, digest = fields.get("vote", ""), fields.get("digest", "")
        try:
            _ours(visitor, fields, approval_id)
            if vote not in _NOTICES:
                raise UsageError(f"{vote[:40]!r} is no decision", cure="approve, deny, or break the glass")
            reason = fields.get("reason", "").strip()
            if vote == "deny" and not reason:
                raise Refusal("reason_missing", "a denial says why", cure="write a sentence, then deny again")
            key = f"inbox:{fields.get('key', '')[:80]}:{vote}"
            found = await self._aio.do(self._approvals.decide, approval_id, visitor.identity, vote, digest, reason, key)
        except (Refusal, UsageError) as error:
            return await self._shown(approval_id, visitor, error, fields)
        visitor.session.notice = _noticed(vote, found)
        return see(f"{HOME}/{found.id}")

    async def edit(self, request: Request, visitor: Visitor) -> Response:
        """POST /approvals/ID/edit: {args, digest, form}; another approval takes its place, with no votes."""
        approval_id, fields = request.path_params["id"], await read_form(request)
        try:
            _ours(visitor, fields, approval_id)
            if not self._approvals.checks_edits:
                raise UsageError(
                    "this gateway cannot run policy and scans on edits", cure="deny it, and have it asked anew"
                )
            args = typed_args(fields.get("args", ""))
            before = await self._aio.do(self._approvals.get, approval_id)
            if args == before.content["args"]:
                raise UsageError("the arguments are the same as before", cure="change them, or approve as it is")
            found = await self._aio.do(
                self._approvals.edit, approval_id, visitor.identity, args, fields.get("digest", "")
            )
        except (Refusal, UsageError) as error:
            return await self._shown(approval_id, visitor, error, fields)
        visitor.session.notice = "Your edit waits in place of the call that was asked for. Others decide on it."
        return see(f"{HOME}/{found.id}")

    async def _shown(
        self,
        approval_id: str,
        visitor: Visitor,
        problem: Refusal | UsageError | None = None,
        fields: dict[str, str] | None = None,
    ) -> Response:
        stamp = await self._watch.stamp(approval_id[:40])
        approval: Approval = await self._aio.do(self._approvals.get, approval_id)
        previous = await self._aio.do(self._approvals.get, approval.supersedes) if approval.supersedes else None
        now_ms = await self._aio.do(self._approvals.now_ms)
        origins = await self._aio.do(origins_of, self._read, approval)
        seen = partial(detail_of, approval, previous, visitor.id, visitor.directory, now_ms, origins)
        return self._pages.page(
            "detail",
            200 if problem is None else problem.status if isinstance(problem, Refusal) else 422,
            visitor=visitor,
            notice=visitor.notice(),
            view=await asyncio.to_thread(seen),
            editable=self._approvals.checks_edits,
            form=visitor.session.form_token(approval.id, approval.digest),
            key=secrets.token_hex(16),
            stamp=stamp,
            problem=problem,
            title=title_of(problem) if isinstance(problem, Refusal) else "Nothing was done",
            typed=fields or {},
        )


def _ours(visitor: Visitor, fields: dict[str, str], approval_id: str) -> None:
    """A form counts only from a page of this session that showed this digest of this approval."""
    if not visitor.session.is_ours(fields.get("form", ""), approval_id, fields.get("digest", "")):
        raise UsageError("the form is not of this session", cure="read what is shown now, and decide again")


def _noticed(vote: str, found: Approval) -> str:
    if vote == "approve" and found.state is State.PENDING:
        return f"{_NOTICES[vote]} It waits for more people."
    return _NOTICES[vote]
