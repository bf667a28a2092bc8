"""A provider's metadata and keys, fetched over TLS, bounded, and kept for an hour."""

import functools
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from backstay.guard.addresses import is_loopback
from backstay.web.accounts.refusal import Refused
from backstay.web.accounts.settings import OidcProvider

KEEP_S = 3600.0
REFETCH_S = 30.0
"""Keys are fetched anew for an unknown key id, but not more often than this."""

MAX_BYTES = 1_000_000
TIMEOUT_S = 10.0
_KEY_TYPES = ("RSA", "EC", "OKP")
"""Public keys only: a symmetric key among them would make HS256 forgeable by whoever reads it."""

_SHORTEST_RSA = 340
"""Base64 characters of a modulus of 2,048 bits, nearly."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What we use of a provider's metadata."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    basic: bool
    """Whether the client's secret goes into the Authorization header; else into the form."""

    names_issuer: bool
    """Whether each answer names its issuer (RFC 9207)."""


class Provider:
    """One provider; used from one event loop."""

    def __init__(self, settings: OidcProvider, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.settings, self._clock_s = settings, clock_s
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def metadata(self) -> Metadata:
        """The provider's metadata; raises Refused 503 where they cannot be had or are not those of the issuer."""
        if self._metadata is None or self._clock_s() - self._metadata[0] >= KEEP_S:
            issuer = self.settings.issuer
            raw = await self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if raw.get("issuer") != issuer:
                raise _broken(f"its metadata are of the issuer {raw.get('issuer')!r}")
            self._metadata = (self._clock_s(), _metadata(raw))
        return self._metadata[1]

    async def keys(self, *, fresh: bool = False) -> KeySet:
        """The keys that sign ID tokens; `fresh` for a key id that is not among them."""
        age_s = KEEP_S if self._keys is None else self._clock_s() - self._keys[0]
        if self._keys is None or age_s >= (REFETCH_S if fresh else KEEP_S):
            raw = await self._fetch((await self.metadata()).jwks_uri)
            self._keys = (self._clock_s(), _key_set(raw))
        return self._keys[1]

    async def id_token(self, code: str, verifier: str, redirect_uri: str) -> str:
        """Exchange a code; raises Refused where the provider does not take it."""
        metadata, settings = await self.metadata(), self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": settings.client_id,
            "code_verifier": verifier,
        }
        auth = None
        if settings.client_secret and metadata.basic:
            auth = httpx.BasicAuth(quote(settings.client_id, safe=""), quote(settings.client_secret, safe=""))
        elif settings.client_secret:
            form["client_secret"] = settings.client_secret
        found = (await self._send("POST", metadata.token_endpoint, form, auth)).get("id_token")
        if not isinstance(found, str):
            raise _broken("it sent no ID token")
        return found

    async def _fetch(self, url: str) -> dict[str, Any]:
        return await self._send("GET", url, None, None)

    async def _send(
        self, method: str, url: str, form: dict[str, str] | None, auth: httpx.BasicAuth | None
    ) -> dict[str, Any]:
        check_url(url)
        try:
            async with (
                httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, verify=_trust()) as client,
                client.stream(method, url, data=form, auth=auth, headers={"accept": "application/json"}) as answer,
            ):
                if answer.status_code != 200:
                    raise _broken(f"it answered {answer.status_code}")
                found = json.loads(await _body(answer))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
            raise _broken(f"{type(error).__name__}") from error
        if not isinstance(found, dict):
            raise _broken("it sent no object")
        return found


@functools.cache
def _trust() -> ssl.SSLContext:
    """The authorities of this machine, read once: that takes longer than a request."""
    return ssl.create_default_context()


def check_url(url: str) -> None:
    """Raises Refused 503 for an address that is not TLS, except on this machine."""
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
    except ValueError as error:
        raise _broken("one of its addresses is none") from error
    if not parts.hostname or not (plain or parts.scheme == "https"):
        raise _broken("one of its addresses is not https")


async def _body(answer: httpx.Response) -> bytes:
    pieces, size = [], 0
    async for piece in answer.aiter_bytes():
        size += len(piece)
        if size > MAX_BYTES:
            raise _broken(f"its answer is longer than {MAX_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _metadata(raw: dict[str, Any]) -> Metadata:
    urls = [raw.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    methods = raw.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    if not all(isinstance(url, str) for url in urls) or not isinstance(methods, list):
        raise _broken("its metadata lack an address")
    authorization, token, jwks = (str(url) for url in urls)
    for url in (authorization, token, jwks):
        check_url(url)
    named = raw.get("authorization_response_iss_parameter_supported") is True
    return Metadata(authorization, token, jwks, "client_secret_basic" in methods, named)


def _key_set(raw: dict[str, Any]) -> KeySet:
    listed = raw.get("keys")
    keys = [key for key in listed if _signs(key)] if isinstance(listed, list) else []
    if not keys:
        raise _broken("it publishes no key that signs")
    try:
        return KeySet.import_key_set({"keys": keys})
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise _broken("its keys cannot be read") from error


def _signs(key: Any) -> bool:
    if not isinstance(key, dict) or key.get("kty") not in _KEY_TYPES or key.get("use", "sig") != "sig":
        return False
    return key["kty"] != "RSA" or len(str(key.get("n", ""))) >= _SHORTEST_RSA


def _broken(why: str) -> Refused:
    return Refused(
        503, "provider_unavailable", f"the other service cannot be used: {why}", cure="try again, or tell an admin"
    )
