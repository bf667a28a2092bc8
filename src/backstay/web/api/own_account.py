"""One's own account: the password, sessions and API tokens. Who one is tells `GET /me`, links included."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from backstay.feedback.collection.submission import iso_time
from backstay.web.accounts import api_tokens, sessions
from backstay.web.accounts.api_tokens import ApiToken
from backstay.web.api.texts import Body, Password, SomeLine
from backstay.web.console import Console
from backstay.web.gate import Principal, accounts_of, allowed, browser_of, console_of, renew_cookie
from backstay.web.permissions import Permission

router = APIRouter(prefix="/api/v1/account", tags=["account"])
Own = Annotated[Principal, Depends(allowed(Permission.OWN_ACCOUNT))]
Here = Annotated[Console, Depends(console_of)]
Id = Annotated[str, Path(pattern=r"^[0-9a-f-]{1,36}$")]


class PasswordChange(Body):
    """The present password, and the next."""

    old: Password
    new: Password


class SessionOut(BaseModel):
    """A browser in which one is signed in."""

    id: str
    browser: str
    begun_at: str
    seen_at: str
    here: bool


class NewToken(Body):
    """A token to be made."""

    name: SomeLine
    scopes: Annotated[list[Annotated[Permission, Field(strict=False)]], Field(min_length=1, max_length=len(Permission))]
    holds_s: Annotated[int, Field(ge=60, le=10**9)]


class TokenOut(BaseModel):
    """What is known of a token."""

    id: str
    name: str
    scopes: list[str]
    created_at: str
    expires_at: str
    used_at: str | None


class TokenMade(TokenOut):
    """A new token; `token` is shown this once."""

    token: str


class Sessions(BaseModel):
    """Browsers in which one is signed in."""

    sessions: list[SessionOut]


class Tokens(BaseModel):
    """API tokens."""

    tokens: list[TokenOut]


@router.post("/password", status_code=204)
async def change_password(body: PasswordChange, who: Own, request: Request) -> Response:
    """Set another password; every other session ends."""
    cookie = await accounts_of(request).change_password(who, body.old, body.new, browser_of(request).address)
    renew_cookie(request, cookie)
    return Response(status_code=204)


@router.get("/sessions")
async def list_sessions(who: Own, console: Here, request: Request) -> Sessions:
    """The browsers in which one is signed in."""
    settings, now_ms = accounts_of(request).settings.session, console.clock()
    found = await console.read(lambda c: sessions.listed(c, settings, who.account_id, now_ms))
    return Sessions(
        sessions=[
            SessionOut(
                id=one.id,
                browser=one.browser,
                begun_at=iso_time(one.begun_ms),
                seen_at=iso_time(one.seen_ms),
                here=one.id == who.session_id,
            )
            for one in found
        ]
    )


@router.delete("/sessions/{session}", status_code=204)
async def end_session(session: Id, who: Own, console: Here) -> Response:
    """Sign one of one's own browsers out."""
    await console.write(lambda unit: sessions.end(unit, who.account_id, session))
    return Response(status_code=204)


@router.get("/tokens")
async def list_tokens(who: Own, console: Here) -> Tokens:
    """One's own API tokens."""
    found = await console.read(lambda c: api_tokens.listed(c, who.account_id))
    return Tokens(tokens=[TokenOut(**token_fields(token)) for token in found])


@router.post("/tokens", status_code=201)
async def make_token(body: NewToken, who: Own, console: Here, request: Request) -> TokenMade:
    """Make an API token; only in a session, and with no more than one may do oneself."""
    settings = accounts_of(request).settings
    token, secret = await console.write(
        lambda unit: api_tokens.make(unit, settings, who, body.name, body.scopes, body.holds_s)
    )
    return TokenMade(**token_fields(token), token=secret)


@router.delete("/tokens/{token}", status_code=204)
async def revoke_token(token: Id, who: Own, console: Here) -> Response:
    """Revoke one of one's own tokens."""
    await console.write(lambda unit: api_tokens.revoke(unit, who, who.account_id, token))
    return Response(status_code=204)


def token_fields(token: ApiToken) -> dict[str, object]:
    """A token as JSON data."""
    return {
        "id": token.id,
        "name": token.name,
        "scopes": [scope.value for scope in token.scopes],
        "created_at": iso_time(token.created_ms),
        "expires_at": iso_time(token.expires_ms),
        "used_at": None if token.used_ms is None else iso_time(token.used_ms),
    }
