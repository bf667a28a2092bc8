"""The gate of every route: `allowed(permission)` for whoever may, `public()` for everybody; each route has one of them.

What writes must come from one of our pages; in a session it must also bring the session's CSRF token, in the header
`x-backstay-csrf` or as field `form` or `csrf` of a form. A bearer token needs neither: no browser sends one by itself.
A request with a bearer token and a cookie is the bearer's.
"""

import ipaddress

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backstay.errors import UsageError
from backstay.guard.gateway.faults import ApiFault
from backstay.guard.inbox.forms import FORM_TYPE, read_form
from backstay.web.accounts.accounts import Accounts, Browser, Found
from backstay.web.accounts.principal import Principal
from backstay.web.accounts.refusal import Refused
from backstay.web.console import Console
from backstay.web.permissions import Permission

__all__ = [
    "Allowed",
    "CookieRenewal",
    "Principal",
    "Public",
    "accounts_of",
    "allowed",
    "browser_of",
    "console_here",
    "console_of",
    "public",
]

CSRF_HEADER = "x-backstay-csrf"
CSRF_FIELDS = ("form", "csrf")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def console_of(request: Request) -> Console:
    """The console of the application."""
    found = request.app.state.console
    assert isinstance(found, Console)  # noqa: S101  a mistake in setting up the application, not of a request
    return found


async def console_here(request: Request) -> Console:
    """The same as a dependency: one that is no coroutine would be run in a thread, for every request."""
    return console_of(request)


def accounts_of(request: Request) -> Accounts:
    """The accounts of the application."""
    found = request.app.state.accounts
    assert isinstance(found, Accounts)  # noqa: S101  a mistake in setting up the application, not of a request
    return found


class Allowed:
    """Lets through whoever has one of the permissions, as a Principal; in a path with `project`, to their own only."""

    def __init__(self, *permissions: Permission) -> None:
        self.permissions = permissions

    async def __call__(self, request: Request) -> Principal:
        """Who asks; raises Refused 401, 403, 404 or 429."""
        accounts = accounts_of(request)
        found = await visitor_of(request)
        if found is None:
            raise Refused(401, "signed_out", "nobody is signed in", cure="sign in, or send an API token as bearer")
        if found.principal.via != "token" and request.method not in SAFE:
            await _check_own_page(accounts, request, found)
        accounts.check_rate(found.principal)
        if not found.principal.permissions.intersection(self.permissions):
            needed = " or ".join(self.permissions)
            raise Refused(403, "not_allowed", f"this needs the permission {needed}", cure="ask somebody who has it")
        if (project := request.path_params.get("project")) is not None:
            found.principal.check_enter(project)
        return found.principal


class Public:
    """Lets everybody through; what writes must still come from one of our pages."""

    permissions = ()

    async def __call__(self, request: Request) -> None:
        """Raises Refused 403."""
        accounts = accounts_of(request)
        if request.method not in SAFE and not accounts.site.is_our_page(request.headers):
            raise _foreign()


def allowed(*permissions: Permission) -> Allowed:
    """The gate for whoever has one of these: `who: Annotated[Principal, Depends(allowed(Permission.RATE))]`."""
    return Allowed(*permissions)


def public() -> Public:
    """The gate for everybody: `dependencies=[Depends(public())]`."""
    return Public()


async def visitor_of(request: Request) -> Found | None:
    """Who asks, or None; looked up once a request. Raises Refused for a bearer token that does not hold."""
    if not hasattr(request.state, "found"):
        request.state.found = await _found(accounts_of(request), request)
    found = request.state.found
    return found if isinstance(found, Found) else None


def csrf_of(request: Request) -> str:
    """The CSRF token for the page that is shown; empty without a session."""
    found = getattr(request.state, "found", None)
    return found.csrf if isinstance(found, Found) else ""


def browser_of(request: Request) -> Browser:
    """What a request tells of its browser."""
    accounts = accounts_of(request)
    address = client_address(request, accounts.settings.proxies)
    agent = "".join(c for c in request.headers.get("user-agent", "") if c.isprintable())
    return Browser(address, request.cookies.get(accounts.cookie, ""), agent[:200])


def client_address(request: Request, proxies: int) -> str:
    """The address that the outermost of our own proxies saw; what stands further left, anybody may have written."""
    socket = request.client.host if request.client else ""
    seen = [part.strip() for value in request.headers.getlist("x-forwarded-for") for part in value.split(",")]
    if not proxies or len(seen) < proxies:
        return socket
    try:
        return str(ipaddress.ip_address(seen[-proxies]))
    except ValueError:
        return socket


def renew_cookie(request: Request, cookie: str) -> None:
    """Have the answer set another session cookie; an empty one signs the browser out."""
    request.state.fresh_cookie = cookie


async def form_of(request: Request) -> dict[str, str]:
    """The fields of the request's form, read once."""
    if not hasattr(request.state, "form"):
        try:
            request.state.form = await read_form(request)
        except ApiFault as fault:
            raise Refused(fault.status, "form_refused", fault.message, cure="load the page again") from fault
        except UsageError as error:
            raise Refused(400, "form_refused", error.message, cure=error.cure or "") from error
        if any("\0" in text for field in request.state.form.items() for text in field):
            raise Refused(400, "form_refused", "a form has no NUL characters", cure="take them out")
    fields: dict[str, str] = request.state.form
    return fields


async def check_csrf(request: Request, found: Found) -> None:
    """Raises Refused 403 unless the request brings the CSRF token of its session."""
    given = request.headers.get(CSRF_HEADER)
    if given is None and request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM_TYPE:
        fields = await form_of(request)
        given = next((fields[name] for name in CSRF_FIELDS if name in fields), None)
    if given is None or not accounts_of(request).is_ours(found.principal.session_id, given):
        raise Refused(
            403, "csrf", f"the request lacks this session's {CSRF_HEADER}", cure="load the page again, then repeat it"
        )


class CookieRenewal:
    """Middleware: sets the session's new cookie on whatever answer the request gets, errors included."""

    def __init__(self, app: ASGIApp, cookie: str, *, secure: bool) -> None:
        self._app, self._cookie, self._secure = app, cookie, secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def renewing(message: Message) -> None:
            value = state.get("fresh_cookie")
            if message["type"] == "http.response.start" and value is not None:
                MutableHeaders(scope=message).append("set-cookie", self._header(value))
            await send(message)

        await self._app(scope, receive, renewing)

    def _header(self, value: str) -> str:
        """`Lax`, so that a link in a chat or mail finds the rater signed in; what writes has the CSRF token."""
        parts = [f"{self._cookie}={value}", "Path=/", "HttpOnly", "SameSite=Lax"]
        return "; ".join(parts + (["Secure"] if self._secure else []) + ([] if value else ["Max-Age=0"]))


async def _found(accounts: Accounts, request: Request) -> Found | None:
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(401, "token_refused", "only bearer tokens are taken", cure="send `Authorization: Bearer ...`")
        return await accounts.by_token(secret.strip(), browser_of(request).address)
    cookie = request.cookies.get(accounts.cookie, "")
    found = await accounts.by_cookie(cookie) if cookie else None
    if found is not None and found.fresh_cookie is not None:
        renew_cookie(request, found.fresh_cookie)
    return found


async def _check_own_page(accounts: Accounts, request: Request, found: Found) -> None:
    if not accounts.site.is_our_page(request.headers):
        raise _foreign()
    await check_csrf(request, found)


def _foreign() -> Refused:
    return Refused(403, "foreign_page", "the request did not come from a page of this console", cure="use its pages")
