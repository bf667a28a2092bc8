"""The pages before the console: signing in and out, accepting an invitation, setting a new password."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import RedirectResponse, Response

from backstay.guard.inbox.lockout import network_of
from backstay.web.accounts import invitations, sessions
from backstay.web.accounts.invitations import Invitation
from backstay.web.accounts.refusal import Refused, too_many
from backstay.web.gate import accounts_of, browser_of, check_csrf, console_of, form_of, public, renew_cookie, visitor_of
from backstay.web.next_page import next_of
from backstay.web.pages import HEADERS, see
from backstay.web.visitors import pages_of

router = APIRouter(include_in_schema=False, dependencies=[Depends(public())])
SIGN_IN = "/sign-in"
ProviderName = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,40}$")]
Secret = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{20,64}$")]


@router.get(SIGN_IN)
async def sign_in_form(request: Request) -> Response:
    """The form."""
    return _sign_in_page(request, next_of(request.query_params.get("next", "")))


@router.post(SIGN_IN)
async def sign_in(request: Request) -> Response:
    """{name, password, next}: a new session, whatever the browser had before."""
    fields = await form_of(request)
    after, name = next_of(fields.get("next", "")), fields.get("name", "")
    try:
        cookie = await accounts_of(request).sign_in(name, fields.get("password", ""), browser_of(request))
    except Refused as refused:
        return _sign_in_page(request, after, refused, name)
    renew_cookie(request, cookie)
    return see(after)


@router.get(f"{SIGN_IN}/with/{{provider}}")
async def sign_in_elsewhere(provider: ProviderName, request: Request) -> Response:
    """Go to another service, to come back signed in."""
    return await _leave(request, provider, next_of(request.query_params.get("next", "")), "")


@router.get(f"{SIGN_IN}/with/{{provider}}/callback")
async def come_back(provider: ProviderName, request: Request) -> Response:
    """Come back from another service."""
    accounts = accounts_of(request)
    _slow_down(request)
    pairs = request.query_params.multi_items()
    answer = dict(pairs)
    if len(answer) < len(pairs):
        raise Refused(400, "answer_refused", "a value of the answer stands there twice", cure="begin anew")
    flow = request.cookies.get(accounts.flow_cookie, "")
    try:
        cookie, after = await accounts.sign_in_elsewhere(provider, answer, flow, browser_of(request))
    except Refused as refused:
        return _sign_in_page(request, "/", refused)
    renew_cookie(request, cookie)
    answered = see(next_of(after))
    _set_flow_cookie(request, answered, "")
    return answered


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session of this browser."""
    found = await visitor_of(request)
    if found is not None and found.principal.via != "token":
        await check_csrf(request, found)
        cookie = browser_of(request).cookie
        await console_of(request).write(lambda unit: sessions.end_by_cookie(unit, cookie))
    renew_cookie(request, "")
    return see(SIGN_IN)


@router.get("/join/{secret}")
async def join_form(secret: Secret, request: Request) -> Response:
    """What a link is for, and the form; opening it uses nothing up, since mail scanners open links too."""
    _slow_down(request)
    return await _join_page(request, secret)


@router.post("/join/{secret}")
async def join(secret: Secret, request: Request) -> Response:
    """{name, display_name, password, again}: a new account, or a new password."""
    _slow_down(request)
    fields = await form_of(request)
    accounts, password = accounts_of(request), fields.get("password", "")
    try:
        if password != fields.get("again", ""):
            raise Refused(400, "passwords_differ", "the two passwords differ", cure="type the same one twice")
        name, shown = fields.get("name", ""), _one_line(fields.get("display_name", ""))
        cookie = await accounts.accept(secret, name, shown, password, browser_of(request))
    except Refused as refused:
        if refused.code == "link_over":
            raise
        return await _join_page(request, secret, refused, fields)
    renew_cookie(request, cookie)
    return see("/")


@router.get("/join/{secret}/with/{provider}")
async def join_elsewhere(secret: Secret, provider: ProviderName, request: Request) -> Response:
    """Accept an invitation with an account of another service."""
    _slow_down(request)
    await _invitation(request, secret)
    return await _leave(request, provider, "/", secret)


async def _leave(request: Request, provider: str, after: str, invitation: str) -> Response:
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise Refused(403, "foreign_page", "another site sent you here to sign in", cure="open the sign-in page")
    _slow_down(request)
    address, cookie = await accounts_of(request).oidc.start(provider, after, invitation)
    answer = RedirectResponse(address, 303, HEADERS)
    _set_flow_cookie(request, answer, cookie)
    return answer


def _slow_down(request: Request) -> None:
    """Raises Refused 429 for an address that opens many links, or begins many sign-ins."""
    accounts = accounts_of(request)
    if wait_s := accounts.strangers.take(network_of(browser_of(request).address)):
        raise too_many(wait_s)


def _set_flow_cookie(request: Request, answer: Response, value: str) -> None:
    """`Lax`: the answer comes with a navigation from the other service, which `Strict` would send without it."""
    accounts = accounts_of(request)
    answer.set_cookie(
        accounts.flow_cookie,
        value,
        max_age=600 if value else 0,
        path="/",
        secure=accounts.site.secure,
        httponly=True,
        samesite="lax",
    )


def _sign_in_page(request: Request, after: str, refused: Refused | None = None, name: str = "") -> Response:
    answer = pages_of(request).page(
        "sign_in",
        status=200 if refused is None else refused.status,
        after=after,
        problem=refused,
        name=name[:64],
        providers=[(key, p.settings.title) for key, p in accounts_of(request).oidc.providers.items()],
    )
    answer.headers.update(refused.headers if refused else {})
    return answer


async def _invitation(request: Request, secret: str) -> tuple[Invitation, str]:
    console = console_of(request)
    now_ms = console.clock()
    found = await console.read(lambda c: invitations.look(c, secret, now_ms))
    return found, await console.read(lambda c: invitations.name_of(c, found.account_id))


async def _join_page(
    request: Request, secret: str, refused: Refused | None = None, typed: dict[str, str] | None = None
) -> Response:
    found, name = await _invitation(request, secret)
    providers = [] if found.purpose == "reset" else accounts_of(request).oidc.providers.items()
    return pages_of(request).page(
        "join",
        status=200 if refused is None else refused.status,
        secret=secret,
        invitation=found,
        account=name,
        problem=refused,
        typed={key: (typed or {}).get(key, "")[:200] for key in ("name", "display_name")},
        providers=[(key, provider.settings.title) for key, provider in providers],
    )


def _one_line(text: str) -> str:
    return "".join(c for c in text if c.isprintable()).strip()[:200]
