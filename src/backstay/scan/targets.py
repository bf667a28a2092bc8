"""Where a URL in Markdown or HTML leads, read as browsers read it; what cannot be read for certain leads elsewhere."""

import html
from collections.abc import Collection
from dataclasses import dataclass

from backstay.errors import UsageError

UNKNOWN = "?"
"""The host of a URL that names one, but not such that all browsers read the same."""

_LOADED = ("http", "https", "ftp", "ws", "wss")
_HARMLESS = ("cid", "blob", "about", "sandbox", "attachment")
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")
_LOW = "".join(map(chr, range(33)))
_SCHEME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789+.-")


def host_of(url: str) -> str | None:
    """The host that a URL leads to: None where it stays on the page's own, `?` where that is not certain.

    Entities are read; a backslash is a slash to browsers and nothing to Markdown, so both must agree.
    """
    if not any(sign in url for sign in ":/\\&"):
        return None
    plain = html.unescape(url).lower()
    for gap in "\t\r\n":
        plain = plain.replace(gap, "")
    plain = plain.strip(_LOW)
    hosts = {_host(plain.replace("\\", "/")), _host(plain.replace("\\", ""))}
    return hosts.pop() if len(hosts) == 1 else UNKNOWN


def _host(url: str) -> str | None:
    scheme, colon, rest = url.partition(":")
    if colon and scheme and set(scheme) <= _SCHEME and scheme[0].isalpha():
        return _host_behind(scheme, rest)
    return _authority(url) if url.startswith("//") else None


def _host_behind(scheme: str, rest: str) -> str | None:
    if scheme in _LOADED:
        return _authority(rest)
    if scheme == "data":
        return None if rest.lstrip("/").startswith("image/") else UNKNOWN
    return None if scheme in _HARMLESS else UNKNOWN


def _authority(rest: str) -> str:
    authority = rest.lstrip("/")
    for end in "/?#":
        authority = authority.partition(end)[0]
    host = authority.rpartition("@")[2]
    name, _, port = host.partition(":")
    name = name.removesuffix(".")
    certain = name and set(name) <= _NAME and (not port or port.isdigit())
    return name if certain else UNKNOWN


@dataclass(frozen=True)
class AllowedHosts:
    """Hosts to which a URL may lead: exact names, and with a leading dot those under a name."""

    exact: frozenset[str]
    under: tuple[str, ...]

    @classmethod
    def of(cls, hosts: Collection[str]) -> "AllowedHosts":
        """From names as an operator writes them (`img.example.com`, `.example.com`); raises UsageError."""
        if isinstance(hosts, str):
            raise UsageError(f"allowed hosts are a list, not the text {hosts!r}", cure="write ['img.example.com']")
        for host in hosts:
            bare = host.removeprefix(".")
            if not bare or bare != bare.strip(".").lower() or not set(bare) <= _NAME:
                raise UsageError(
                    f"{host!r} is no host name", cure="write img.example.com, or .example.com for all hosts under it"
                )
        return cls(
            frozenset(host for host in hosts if not host.startswith(".")),
            tuple(sorted(host for host in hosts if host.startswith("."))),
        )

    def allow(self, host: str | None) -> bool:
        """Whether a URL may lead to this host (None: to the page's own)."""
        return host is None or host in self.exact or (bool(self.under) and host.endswith(self.under))
