import pytest
from pydantic import ValidationError

from backstay.guard.gateway.settings import HoldSettings
from backstay.guard.inbox.same_origin import Site

LOCAL, NAMED, OPEN = Site("127.0.0.1"), Site("127.0.0.1", "https://a.example"), Site("0.0.0.0")  # noqa: S104  not opened


@pytest.mark.parametrize(
    ("site", "host", "ours"),
    [
        (LOCAL, "127.0.0.1:8788", True),
        (LOCAL, "localhost:8788", True),
        (LOCAL, "LOCALHOST", True),
        (LOCAL, "[::1]:8788", True),
        (LOCAL, "evil.example:8788", False),
        (LOCAL, "127.0.0.1.evil.example", False),
        (LOCAL, "localhost.evil.example", False),
        (LOCAL, "evil.example@127.0.0.1.evil.example", False),
        (LOCAL, "", False),
        (LOCAL, "[::1", False),
        (NAMED, "a.example", True),
        (NAMED, "A.example", True),
        (NAMED, "127.0.0.1:8788", True),
        (NAMED, "b.example", False),
        (Site("10.0.0.1", "https://a.example"), "10.0.0.1", False),
        (Site("10.0.0.1", "https://a.example"), "a.example", True),
        (OPEN, "anything.example", True),
        (OPEN, "", False),
    ],
)
def test_host(site: Site, host: str, ours: bool) -> None:
    assert site.is_our_host({"host": host}) is ours


@pytest.mark.parametrize(
    ("site", "host", "origin", "fetch_site", "ours"),
    [
        (LOCAL, "127.0.0.1:8788", "http://127.0.0.1:8788", "same-origin", True),
        (LOCAL, "127.0.0.1:8788", "http://127.0.0.1:8788", None, True),
        (LOCAL, "127.0.0.1:8788", "null", "same-origin", True),
        (LOCAL, "127.0.0.1:8788", None, "same-origin", True),
        (LOCAL, "127.0.0.1:8788", "null", None, False),
        (LOCAL, "127.0.0.1:8788", None, None, False),
        (LOCAL, "127.0.0.1:8788", "null", "cross-site", False),
        (LOCAL, "127.0.0.1:8788", None, "none", False),
        (LOCAL, "127.0.0.1:8788", None, "same-site", False),
        (LOCAL, "127.0.0.1:8788", "http://127.0.0.1:8788", "cross-site", False),
        (LOCAL, "127.0.0.1:8788", "http://127.0.0.1:9999", "same-site", False),
        (LOCAL, "127.0.0.1:8788", "http://127.0.0.1:9999", None, False),
        (LOCAL, "127.0.0.1:8788", "http://evil.example", None, False),
        (NAMED, "a.example", "https://a.example", "same-origin", True),
        (NAMED, "a.example", "http://a.example", None, False),
        (OPEN, "h:1", "https://h:1", None, True),
    ],
)
def test_post(site: Site, host: str, origin: str | None, fetch_site: str | None, ours: bool) -> None:
    headers = {"host": host} | ({"origin": origin} if origin else {})
    headers |= {"sec-fetch-site": fetch_site} if fetch_site else {}
    assert site.is_our_page(headers) is ours


def test_cookies_are_secure_unless_only_this_machine_is_meant() -> None:
    assert [site.secure for site in (LOCAL, NAMED, OPEN, Site("::1"), Site("10.0.0.1"))] == [
        False,
        True,
        True,
        False,
        True,
    ]


def test_origin_in_the_settings() -> None:
    assert HoldSettings(inbox_origin="https://a.example:8443").inbox_origin == "https://a.example:8443"
    for wrong in (
        "http://a.example",
        "https://a.example/",
        "https://a.example/x",
        "https://",
        "a.example",
        "https://u@a",
    ):
        with pytest.raises(ValidationError, match="is no origin"):
            HoldSettings(inbox_origin=wrong)
