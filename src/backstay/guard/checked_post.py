"""Posting to an address that somebody else chose: only where it may lead, and to the very address that was checked."""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urlsplit

from backstay.errors import BackstayError, UsageError
from backstay.guard.addresses import is_loopback

TIMEOUT_S = 10.0
"""Of each step: connecting, sending, and reading the answer."""
DEADLINE_S = 20.0
"""Of all of it, so that a target that answers drop by drop holds nobody up."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class PostFailed(BackstayError):
    """Nothing was confirmed: the address is not allowed, or its answer did not come."""


def split_url(url: str) -> SplitResult:
    """The parts of an address; raises UsageError for what is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no address: {error}") from error
    return parts


def check_url(url: str, what: str) -> SplitResult:
    """The parts of an address that can be posted to: https, or http to this machine. Raises UsageError."""
    parts = split_url(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.fragment:
        raise UsageError(f"{what}: {url!r} is no address to post to", cure="https://HOST/PATH")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise UsageError(f"{what}: plain http goes to this machine only", cure="use https")
    return parts


def checked_address(host: str, port: int, *, private: bool) -> str:
    """The address of a host, looked up once; raises PostFailed where any of its addresses is not allowed.

    A name of this machine must lead to this machine. Any other must lead outside, or, with `private`, into the own
    network, but never to a link-local address, where clouds keep their secrets.
    """
    found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    local = is_loopback(host)
    for text in found:
        address = _embedded(ipaddress.ip_address(text.partition("%")[0]))
        fine = address.is_loopback if local else address.is_global and not address.is_multicast
        if not fine and not (private and address.is_private and not address.is_link_local):
            raise PostFailed(
                f"{host} is at {text}, an address that is not allowed",
                cure="set allow_private for a target in your own network",
            )
    return found[0]


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, private: bool = False, trust: ssl.SSLContext | None = None
) -> int:
    """Post to a checked address and return the status of the answer. Redirects are not followed."""
    parts = split_url(url)
    secure = parts.scheme == "https"
    host, port = str(parts.hostname), parts.port or (443 if secure else 80)
    try:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        with contextlib.closing(connection), _connected(host, port, private=private) as plain:
            secured = _secured(plain, host, trust) if secure else plain
            with contextlib.closing(secured):
                connection.sock = secured
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("POST", path, body, dict(headers))
                return connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise PostFailed(str(error) or type(error).__name__) from error


@contextlib.contextmanager
def _connected(host: str, port: int, *, private: bool) -> Iterator[socket.socket]:
    """A connection to an address that was checked, so that a second look-up cannot lead elsewhere."""
    plain = socket.create_connection((checked_address(host, port, private=private), port), TIMEOUT_S)
    # A second handle on the connection: wrapping the first in TLS takes it out of our hands.
    handle = plain.dup()
    is_over = threading.Event()
    ending = threading.Timer(DEADLINE_S, _shut, (handle, is_over))
    ending.daemon = True
    ending.start()
    try:
        yield plain
        if is_over.is_set():  # What was cut off in its headers reads like an answer that ended there.
            raise PostFailed(f"no whole answer came within {DEADLINE_S:g} s")
    finally:
        ending.cancel()
        ending.join()
        handle.close()
        plain.close()


def _secured(plain: socket.socket, host: str, trust: ssl.SSLContext | None) -> socket.socket:
    return (trust or ssl.create_default_context()).wrap_socket(plain, server_hostname=host)


def _shut(handle: socket.socket, is_over: threading.Event) -> None:
    is_over.set()
    with contextlib.suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
