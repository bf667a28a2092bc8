"""Which requests are our own pages': the Host that was asked for, and where a POST came from."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from backstay.guard.addresses import is_loopback

Headers = Mapping[str, str]


class Site:
    """Where the inbox is reached: at `origin` where the operator names one, else at the address that it listens on."""

    def __init__(self, listens_on: str, origin: str = "") -> None:
        self._origin = origin.rstrip("/").lower()
        self._loopback = is_loopback(listens_on)

    @property
    def secure(self) -> bool:
        """Whether cookies go over TLS only: always, except on this machine's own address."""
        return self._origin.startswith("https:") or not self._loopback

    def is_our_host(self, headers: Headers) -> bool:
        """Whether the Host header is ours: else another site's name was bent to this machine (DNS rebinding)."""
        host = headers.get("host", "").lower()
        if self._origin and host == urlsplit(self._origin).netloc:
            return True
        if self._loopback:
            return is_loopback(_name_of(host))
        return not self._origin and bool(_name_of(host))

    def is_our_page(self, headers: Headers) -> bool:
        """Whether a POST comes from one of our pages.

        Under `Referrer-Policy: no-referrer` browsers send `Origin: null` with forms; then Sec-Fetch-Site, which no
        page can set, must say where it came from.
        """
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return False
        origin, host = headers.get("origin", "").lower(), headers.get("host", "").lower()
        if origin in ("", "null"):
            return "sec-fetch-site" in headers
        if self._origin and host == urlsplit(self._origin).netloc:
            return origin == self._origin
        return _place_of(origin) == host


def _place_of(origin: str) -> str:
    """Host and port of an origin; empty for what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
