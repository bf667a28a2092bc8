"""A provider of OpenID Connect on a free loopback port, honest or not as a test wants it."""

import base64
import contextlib
import functools
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "backstay", "client-secret"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@functools.cache
def rsa_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}, private=True)


@dataclass
class OidcProviderSite:
    """What the provider says; a test changes it. `claims` and `sign` make the next ID tokens."""

    url: str = ""
    keys: list[RSAKey] = field(default_factory=lambda: [rsa_key("first")])
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    claims: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
    sign: "Callable[[OidcProviderSite, dict[str, Any]], str] | None" = None
    key_fetches: int = 0
    now_s: Callable[[], int] = lambda: 0
    status: int = 200

    def consent(self, address: str, subject: str, **claims: Any) -> dict[str, str]:
        """Somebody signs in at the address to which they were sent; what their browser brings back."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{self.url}/authorize?")
        code = f"code-{len(self.codes)}"
        self.codes[code] = query | {"subject": subject, "extra": json.dumps(claims)}
        return {"code": code, "state": query["state"]}

    def document(self, path: str) -> Any:
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                **self.metadata,
            }
        assert path == "/keys"
        self.key_fetches += 1
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    def token(self, form: dict[str, str], authorization: str) -> dict[str, str] | None:
        """The answer to a code, which is good once and for whoever began."""
        asked = self.codes.pop(form.get("code", ""), None)
        expected = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if asked is None or authorization != expected or form.get("redirect_uri") != asked["redirect_uri"]:
            return None
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if _base64(digest) != asked["code_challenge"]:
            return None
        claims = {
            "iss": self.url,
            "sub": asked["subject"],
            "aud": CLIENT_ID,
            "exp": self.now_s() + 300,
            "iat": self.now_s(),
            "nonce": asked["nonce"],
            **json.loads(asked["extra"]),
        }
        claims = self.claims(claims)
        signed = self.sign(self, claims) if self.sign else honest(self, claims)
        return {"id_token": signed, "access_token": "unused", "token_type": "Bearer"}


def honest(site: OidcProviderSite, claims: dict[str, Any]) -> str:
    """Signed with the newest key."""
    key = site.keys[-1]
    return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)


def unsigned(_: OidcProviderSite, claims: dict[str, Any]) -> str:
    """`alg: none`, and no signature."""
    return ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "none"}, claims)) + "."


def by_public_key(site: OidcProviderSite, claims: dict[str, Any]) -> str:
    """HS256 with the public key, which everybody has, as the shared secret."""
    header = {"alg": "HS256", "kid": site.keys[-1].kid}
    signed = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
    public = site.keys[-1].as_pem(private=False)
    return f"{signed}.{_base64(hmac.new(public, signed.encode(), hashlib.sha256).digest())}"


def by_another_key(site: OidcProviderSite, claims: dict[str, Any]) -> str:
    """A key that nobody published, under the name of one that is."""
    key = RSAKey.generate_key(2048, {"kid": str(site.keys[-1].kid)}, private=True)
    return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)


@contextlib.contextmanager
def oidc_provider() -> Iterator[OidcProviderSite]:
    """Serve until the block ends."""
    site = OidcProviderSite()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(site.document(self.path))

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[0] for name, values in parse_qs(raw).items()}
            found = site.token(form, self.headers.get("authorization", ""))
            self._answer(found or {"error": "invalid_grant"}, 200 if found else 400)

        def _answer(self, value: Any, status: int = 200) -> None:
            raw = json.dumps(value).encode()
            self.send_response(site.status if status == 200 else status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002  the name of the base class
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
