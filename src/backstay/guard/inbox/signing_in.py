"""Signing in with an approver's id and token, and signing out."""

import asyncio
import re

from starlette.requests import Request
from starlette.responses import Response

from backstay.guard.approvals import Approvals, Refusal
from backstay.guard.inbox.forms import read_form
from backstay.guard.inbox.gate import SIGN_IN, Gate, Visitor
from backstay.guard.inbox.lockout import Attempts
from backstay.guard.inbox.pages import Pages, see
from backstay.guard.inbox.wording import duration

HOME = "/approvals"
_NEXT = re.compile(r"/approvals(?:/[0-9a-z-]{1,40})?")  # one class, bounded: linear
_WRONG = "No approver has this id and token."


class SigningIn:
    """The pages before the inbox."""

    def __init__(self, approvals: Approvals, gate: Gate, pages: Pages) -> None:
        self._approvals, self._gate, self._pages = approvals, gate, pages
        self.attempts = Attempts()

    async def form(self, request: Request) -> Response:
        """GET /approvals/sign-in."""
        return await self._shown(next_of(request.query_params.get("next", "")))

    async def sign_in(self, request: Request) -> Response:
        """POST /approvals/sign-in: {person, token, next}; a new cookie, whatever the browser had before."""
        fields = await read_form(request)
        person, token = fields.get("person", "").strip(), fields.get("token", "").strip()
        after = next_of(fields.get("next", ""))
        address = address_of(request)
        if wait_s := self.attempts.wait_s(person, address):
            said = f"Too many attempts. Try again in {duration(wait_s * 1000 + 999)}."
            answer = await self._shown(after, 429, said, person)
            answer.headers["retry-after"] = str(wait_s)
            return answer
        directory = await asyncio.to_thread(self._approvals.directory)
        try:
            identity = directory.authenticate(person, token)
        except Refusal:
            self.attempts.failed(person, address)
            return await self._shown(after, 401, _WRONG, person)
        self.attempts.succeeded(person, address)
        old = request.cookies.get(self._gate.cookie, "")
        cookie = self._gate.sessions.begin(identity, directory.people[identity.id].token_sha256, replaces=old)
        answer = see(after)
        self._set_cookie(answer, cookie)
        return answer

    async def sign_out(self, request: Request, visitor: Visitor) -> Response:
        """POST /approvals/sign-out."""
        fields = await read_form(request)
        if not visitor.session.is_ours(fields.get("form", ""), "sign-out"):
            return self._gate.told(
                403, "You are still signed in", "The form is not of this session. Load the page again."
            )
        self._gate.sessions.end(request.cookies.get(self._gate.cookie, ""))
        answer = see(SIGN_IN)
        self._set_cookie(answer, "")
        return answer

    def _set_cookie(self, answer: Response, value: str) -> None:
        secure = self._gate.site.secure
        answer.set_cookie(
            self._gate.cookie,
            value,
            max_age=None if value else 0,
            path="/" if secure else HOME,
            secure=secure,
            httponly=True,
            samesite="strict",
        )

    async def _shown(self, after: str, status: int = 200, problem: str = "", person: str = "") -> Response:
        directory = await asyncio.to_thread(self._approvals.directory)
        return self._pages.page(
            "sign_in",
            status,
            after=after,
            problem=problem,
            person=person[:200],
            nobody=not directory.people,
            visitor=None,
        )


def next_of(path: str) -> str:
    """Where to go after signing in: a page of the inbox, and nowhere else."""
    return path if _NEXT.fullmatch(path) and path != SIGN_IN else HOME


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else ""
