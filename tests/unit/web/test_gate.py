import pytest
from fastapi import Request

from backstay.web.gate import client_address


def request(*forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return Request({"type": "http", "headers": headers, "client": ("10.0.0.1", 4000)})


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, ["1.2.3.4"], "10.0.0.1"),
        (1, ["1.2.3.4"], "1.2.3.4"),
        (1, ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (1, ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        (2, ["6.6.6.6, 1.2.3.4, 10.0.0.9"], "1.2.3.4"),
        (2, ["1.2.3.4"], "10.0.0.1"),
        (1, ["6.6.6.6, somebody"], "10.0.0.1"),
        (1, ["2001:DB8::1"], "2001:db8::1"),
        (1, [], "10.0.0.1"),
    ],
)
def test_only_what_our_own_proxies_wrote_is_an_address(proxies: int, forwarded: list[str], address: str) -> None:
    assert client_address(request(*forwarded), proxies) == address
