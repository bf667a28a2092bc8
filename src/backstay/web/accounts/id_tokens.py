"""Checking an ID token: signature by a key of the provider with an algorithm of ours, then every claim that we use."""

import hmac
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from backstay.web.accounts.oidc_provider import Provider
from backstay.web.accounts.refusal import Refused

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
"""Signatures by a private key only: neither `none` nor one with a shared secret."""

SKEW_S = 60
OLDEST_S = 600
"""An ID token that was issued longer ago is no answer to this sign-in."""

MAX_TOKEN = 32_768


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a provider vouches for."""

    issuer: str
    subject: str
    name: str
    email: str
    """Empty where the provider has not verified it."""

    claims: dict[str, Any]


async def verified(provider: Provider, raw: str, nonce: str, clock: Callable[[], int]) -> Subject:
    """The subject of an ID token; raises Refused 403. An unknown key is looked for once, in fresh keys."""
    if len(raw) > MAX_TOKEN:
        raise _bad("it is too long")
    claims = _claims(raw, await provider.keys())
    if claims is None:
        claims = _claims(raw, await provider.keys(fresh=True))
    if claims is None:
        raise _bad("its signature does not hold")
    _check(claims, provider.settings.issuer, provider.settings.client_id, nonce, clock() // 1000)
    verified_email = claims.get("email") if claims.get("email_verified") is True else ""
    return Subject(
        provider.settings.issuer,
        str(claims["sub"]),
        str(claims.get("name", ""))[:200],
        verified_email if isinstance(verified_email, str) else "",
        claims,
    )


def _claims(raw: str, keys: KeySet) -> dict[str, Any] | None:
    try:
        return dict(jwt.decode(raw, keys, algorithms=list(ALGORITHMS)).claims)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _check(claims: dict[str, Any], issuer: str, client_id: str, nonce: str, now_s: int) -> None:
    if claims.get("iss") != issuer:
        raise _bad("it is of another issuer")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences or claims.get("azp", client_id) != client_id:
        raise _bad("it is for another client")
    if len(audiences) > 1 and "azp" not in claims:
        raise _bad("it is for several clients and does not say for which")
    _check_times(claims, now_s)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode("utf-8", "replace"), nonce.encode()):
        raise _bad("it answers another sign-in")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255 or not subject.isprintable():
        raise _bad("it names nobody")


def _check_times(claims: dict[str, Any], now_s: int) -> None:
    expires, issued, earliest = (_time(claims, name) for name in ("exp", "iat", "nbf"))
    if expires <= now_s - SKEW_S or issued < now_s - OLDEST_S:
        raise _bad("it is over")
    if issued > now_s + SKEW_S or earliest > now_s + SKEW_S:
        raise _bad("it is of the future; compare the clocks")


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name, 0 if name == "nbf" else None)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise _bad(f"it has no time {name}")
    return float(value)


def _bad(why: str) -> Refused:
    return Refused(403, "id_token_refused", f"the other service's answer is not accepted: {why}", cure="sign in again")
