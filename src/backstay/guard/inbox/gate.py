"""What every request of the inbox passes: our host, our pages, a session; and faults that become pages."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from backstay.errors import BackstayError
from backstay.guard.approvals import Approvals, Directory, Identity, Refusal
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.inbox.pages import Pages, see
from backstay.guard.inbox.same_origin import Site
from backstay.guard.inbox.sessions import Session, Sessions
from backstay.guard.inbox.wording import cure_of, title_of

SIGN_IN = "/approvals/sign-in"
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in, and the directory by which they are."""

    session: Session
    directory: Directory

    @property
    def identity(self) -> Identity:
        """Proof of who it is."""
        return self.session.identity

    @property
    def id(self) -> str:
        """Their name."""
        return self.session.identity.id

    @property
    def roles(self) -> tuple[str, ...]:
        """Their roles, as the file says now."""
        return tuple(sorted(self.directory.roles.get(self.id, ())))

    @property
    def sign_out(self) -> str:
        """What the form for signing out brings back."""
        return self.session.form_token("sign-out")

    def notice(self) -> str:
        """What is to be told once."""
        said, self.session.notice = self.session.notice, ""
        return said


class Gate:
    """Wraps handlers; keeps the sessions."""

    def __init__(self, approvals: Approvals, site: Site, pages: Pages) -> None:
        self._approvals, self.site, self._pages = approvals, site, pages
        self.sessions = Sessions()
        self.cookie = "__Host-backstay-inbox" if site.secure else "backstay-inbox"

    def anyone(self, handler: Handler) -> Handler:
        """A route that needs no session."""

        async def answer(request: Request) -> Response:
            if not self.site.is_our_host(request.headers):
                return self.told(421, "Not this address", "The inbox is not served under this host name.")
            if request.method == "POST" and not self.site.is_our_page(request.headers):
                return self.told(403, "Nothing was done", "The request did not come from a page of this inbox.")
            try:
                return await handler(request)
            except ApiFault as fault:
                told = (fault.status, "Nothing was done", fault.message, "")
            except Refusal as refusal:
                told = (refusal.status, title_of(refusal), refusal.message, cure_of(refusal))
            except BackstayError as error:
                told = (400 if error.exit_code == 2 else 503, "Nothing was done", error.message, error.cure or "")
            return self.told(*told, getattr(request.state, "visitor", None))

        return answer

    def signed_in(self, handler: Callable[[Request, Visitor], Awaitable[Response]]) -> Handler:
        """A route for somebody who is signed in; others are sent to sign in."""

        async def answer(request: Request) -> Response:
            visitor = await self.visitor(request)
            if visitor is None:
                path = request.url.path if request.method == "GET" else request.url.path.rpartition("/")[0]
                return see(f"{SIGN_IN}?next={quote(path, safe='/')}")
            request.state.visitor = visitor
            return await handler(request, visitor)

        return self.anyone(answer)

    async def visitor(self, request: Request, *, touch: bool = True) -> Visitor | None:
        """Who sent the request, unless the session is over or the person or token has left the approvers file."""
        cookie = request.cookies.get(self.cookie, "")
        session = self.sessions.find(cookie, touch=touch) if cookie else None
        if session is None:
            return None
        directory = await asyncio.to_thread(self._approvals.directory)
        person = directory.people.get(session.identity.id)
        if person is None or person.token_sha256 != session.token_sha256:
            self.sessions.end(cookie)
            return None
        return Visitor(session, directory)

    def told(self, status: int, title: str, text: str, cure: str = "", visitor: Visitor | None = None) -> Response:
        """A page that says what went wrong."""
        return self._pages.page("message", status, title=title, text=text, cure=cure, visitor=visitor)
