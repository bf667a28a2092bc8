"""The page of one's own account: password, browsers, API tokens. It works without script."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from backstay.feedback.collection.submission import iso_time
from backstay.web.accounts import api_tokens, directory, sessions
from backstay.web.accounts.refusal import Refused
from backstay.web.browser_names import browser_name
from backstay.web.gate import Principal, accounts_of, allowed, browser_of, console_of, form_of, renew_cookie
from backstay.web.pages import see
from backstay.web.permissions import TOKEN_NEVER, Permission
from backstay.web.visitors import page_visitor, pages_of

router = APIRouter(prefix="/account", include_in_schema=False)
Own = Annotated[Principal, Depends(allowed(Permission.OWN_ACCOUNT))]
Id = Annotated[str, Path(pattern=r"^[0-9a-f-]{1,36}$")]
HOME = "/account"
DAYS = (7, 30, 90, 365)
_DAY_S = 86_400


@router.get("")
async def account(who: Own, request: Request) -> Response:
    """The page."""
    return await _page(request, who)


@router.post("/password")
async def change_password(who: Own, request: Request) -> Response:
    """{old, new, again}: another password; other sessions end."""
    fields = await form_of(request)
    try:
        if fields.get("new", "") != fields.get("again", ""):
            raise Refused(400, "passwords_differ", "the two new passwords differ", cure="type the same one twice")
        address = browser_of(request).address
        cookie = await accounts_of(request).change_password(who, fields.get("old", ""), fields["new"], address)
    except Refused as refused:
        return await _page(request, who, refused)
    renew_cookie(request, cookie)
    return await _page(request, who, done="Your password is changed. Every other browser is signed out.")


@router.post("/sessions/{session}/end")
async def end_session(session: Id, who: Own, request: Request) -> Response:
    """Sign a browser out."""
    await console_of(request).write(lambda unit: sessions.end(unit, who.account_id, session))
    return see(HOME)


@router.post("/tokens")
async def make_token(who: Own, request: Request) -> Response:
    """{name, days, scope.NAME ...}: a token, shown on the page that answers."""
    fields = await form_of(request)
    settings = accounts_of(request).settings
    try:
        scopes = [scope for scope in Permission if f"scope.{scope.value}" in fields]
        name, days = _checked(fields)
        _, secret = await console_of(request).write(
            lambda unit: api_tokens.make(unit, settings, who, name, scopes, days * _DAY_S)
        )
    except Refused as refused:
        return await _page(request, who, refused)
    return await _page(request, who, token=secret)


@router.post("/tokens/{token}/revoke")
async def revoke_token(token: Id, who: Own, request: Request) -> Response:
    """Revoke a token."""
    await console_of(request).write(lambda unit: api_tokens.revoke(unit, who, who.account_id, token))
    return see(HOME)


def _checked(fields: dict[str, str]) -> tuple[str, int]:
    name = fields.get("name", "").strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise Refused(400, "name_refused", "a token needs a name of 1 to 100 characters", cure="say what it is for")
    days = next((days for days in DAYS if str(days) == fields.get("days")), None)
    if days is None:
        raise Refused(400, "expiry_refused", "that is no time for a token", cure="choose one from the list")
    return name, days


async def _page(
    request: Request, who: Principal, refused: Refused | None = None, *, done: str = "", token: str = ""
) -> Response:
    accounts, console = accounts_of(request), console_of(request)
    now_ms = console.clock()
    account, password = await console.read(
        lambda c: directory.find(c, directory.get(c, who.account_id).name) or (None, None)
    )
    open_ones = await console.read(lambda c: sessions.listed(c, accounts.settings.session, who.account_id, now_ms))
    tokens = await console.read(lambda c: api_tokens.listed(c, who.account_id))
    never = frozenset() if accounts.settings.tokens_may_manage_accounts else TOKEN_NEVER
    return pages_of(request).page(
        "account",
        await page_visitor(request),
        status=200 if refused is None else refused.status,
        here="account",
        who=who,
        account=account,
        has_password=password is not None,
        sessions=[(one, iso_time(one.seen_ms), one.id == who.session_id) for one in open_ones],
        named=browser_name,
        tokens=[(one, iso_time(one.expires_ms), iso_time(one.used_ms) if one.used_ms else "never") for one in tokens],
        scopes=sorted(who.permissions - never),
        days=DAYS,
        problem=refused,
        done=done,
        token=token,
    )
