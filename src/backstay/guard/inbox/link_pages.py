"""Links from mail and chat: opening one shows, posting it decides, for the person it was made for.

The page does not say whose link it is. Whoever decides gives their id: a link that reached somebody else does not tell
them whom to pose as, and a wrong id is journalled.
"""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from backstay.guard.approvals import Approval, Approvals, AsyncApprovals, Refusal
from backstay.guard.inbox.forms import read_form
from backstay.guard.inbox.gate import Gate
from backstay.guard.inbox.lockout import Attempts
from backstay.guard.inbox.pages import Pages
from backstay.guard.inbox.signing_in import address_of
from backstay.guard.inbox.views import Detail, detail_of
from backstay.guard.inbox.wording import duration, title_of


class LinkPages:
    """The page behind a link."""

    def __init__(self, approvals: Approvals, gate: Gate, pages: Pages) -> None:
        self._approvals, self._gate, self._pages = approvals, gate, pages
        self._aio, self._attempts = AsyncApprovals(approvals), Attempts()

    async def shown(self, request: Request) -> Response:
        """GET /approvals/link/TOKEN: decides nothing, however often mail scanners open it."""
        token = request.path_params["token"]
        return self._page(token, await self._view(await self._aio.do(self._approvals.open_link, token)))

    async def decided(self, request: Request) -> Response:
        """POST /approvals/link/TOKEN: {token, person, vote, reason}."""
        fields, address = await read_form(request), address_of(request)
        token, person, vote = (fields.get(name, "").strip() for name in ("token", "person", "vote"))
        if wait_s := self._attempts.wait_s("", address):
            return self._gate.told(429, "Too many attempts", f"Try again in {duration(wait_s * 1000 + 999)}.")
        approval: Approval = await self._aio.do(self._approvals.open_link, token)
        reason = fields.get("reason", "").strip()
        try:
            if vote not in ("approve", "deny"):
                raise Refusal("link_invalid", "a link approves or denies", cure="use one of the two buttons")
            if vote == "deny" and not reason:
                raise Refusal("reason_missing", "a denial says why", cure="write a sentence, then deny again")
            found = await self._aio.do(self._approvals.decide_by_link, token, person, vote, reason)
        except Refusal as refusal:
            if refusal.code == "link_invalid":
                self._attempts.failed("", address)
            latest = await self._aio.do(self._approvals.get, approval.id)
            return self._page(token, await self._view(latest), refusal, fields)
        return self._page(token, await self._view(found), done=vote)

    async def _view(self, approval: Approval) -> Detail:
        directory = await asyncio.to_thread(self._approvals.directory)
        previous = await self._aio.do(self._approvals.get, approval.supersedes) if approval.supersedes else None
        now_ms = await self._aio.do(self._approvals.now_ms)
        return await asyncio.to_thread(detail_of, approval, previous, "", directory, now_ms)

    def _page(
        self,
        token: str,
        view: Detail,
        problem: Refusal | None = None,
        typed: dict[str, str] | None = None,
        done: str = "",
    ) -> Response:
        return self._pages.page(
            "link",
            200 if problem is None else problem.status,
            visitor=None,
            token=token,
            view=view,
            problem=problem,
            title=title_of(problem) if problem else "",
            typed=typed or {},
            done=done,
        )
