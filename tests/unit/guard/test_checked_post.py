"""Posting where others say: to allowed addresses only, once looked up, and never for longer than the deadline."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from backstay.errors import UsageError
from backstay.guard import checked_post
from backstay.guard.checked_post import PostFailed, check_url, checked_address, post

PRIVATE = ("10.0.0.1", "192.168.1.1", "0.0.0.1", "::ffff:10.0.0.1", "fd00::1", "100.64.0.1")
NEVER = ("169.254.169.254", "fe80::1", "224.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1")


@pytest.mark.parametrize("host", [*PRIVATE, *NEVER, "64:ff9b::a00:1", "2002:a00:1::"])
def test_private_addresses_are_refused_also_when_ipv6_wraps_them(host: str) -> None:
    with pytest.raises(PostFailed, match="not allowed"):
        checked_address(host, 443, private=False)


@pytest.mark.parametrize("host", NEVER)
def test_link_local_addresses_are_refused_always(host: str) -> None:
    with pytest.raises(PostFailed, match="not allowed"):
        checked_address(host, 443, private=True)


def test_private_addresses_are_allowed_where_it_is_said() -> None:
    assert checked_address("10.0.0.1", 443, private=True) == "10.0.0.1"
    assert checked_address("8.8.8.8", 443, private=False) == "8.8.8.8"


def test_a_name_is_looked_up_once_and_each_of_its_addresses_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(2, 1, 6, "", ("8.8.8.8", port)), (2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(PostFailed, match="127.0.0.1"):
        post("https://two-faced.example/", b"{}", {})
    assert asked == ["two-faced.example"]


@pytest.mark.parametrize(
    "url", ["http://pager.example/x", "ftp://x/y", "https://", "https://u:p@x/", "https://x:99999/"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        check_url(url, "webhook x")


@contextlib.contextmanager
def dripping() -> Iterator[int]:
    """A server that answers a byte at a time and never ends."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nx-header: ")
                while not stop.wait(0.01):
                    connection.sendall(b"a")

        thread = threading.Thread(target=drip)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        thread.join()


def test_an_answer_that_drips_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked_post, "DEADLINE_S", 0.05)
    with dripping() as port, pytest.raises(PostFailed):
        post(f"http://127.0.0.1:{port}/", b"{}", {})
