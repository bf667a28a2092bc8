import pytest

from backstay.errors import UsageError
from backstay.scan.targets import UNKNOWN, AllowedHosts, host_of


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Img.Example.org/a?b=c", "img.example.org"),
        ("//img.example.org", "img.example.org"),
        ("https:/img.example.org", "img.example.org"),
        ("https:img.example.org", "img.example.org"),
        ("https:////////img.example.org/x", "img.example.org"),
        ("https://img.example.org:443/", "img.example.org"),
        ("https://img.example.org.", "img.example.org"),
        ("https://img.example.org#x", "img.example.org"),
        ("https://img.example.org?x", "img.example.org"),
        ("https://good.org@evil.org/", "evil.org"),
        ("https://good.org:x@evil.org/", "evil.org"),
        ("h&#116;tps://evil.org", "evil.org"),
        ("ht&Tab;tps://evil.org", "evil.org"),
        ("&#x2f;&#47;evil.org", "evil.org"),
        ("\\x01 https://evil.org", "evil.org"),
        ("https&colon;&sol;&sol;evil.org", "evil.org"),
        ("ht\ntps://evil.org", "evil.org"),
        ("chart.png", None),
        ("/a/b.png", None),
        ("a/b:c.png", None),
        ("?q=//x", None),
        ("", None),
        ("#top", None),
        ("a&b.png", None),
        ("img\\_1.png", None),
        ("data:image/png;base64,AA", None),
        ("cid:1", None),
        ("sandbox:/mnt/a.png", None),
        ("data:text/html,x", UNKNOWN),
        ("javascript:x", UNKNOWN),
        ("file://evil/x", UNKNOWN),
        ("https:\\\\evil.org", "evil.org"),
        ("https\\://evil.org", UNKNOWN),
        ("https://ev%69l.org", UNKNOWN),
        ("https://[::1]/", UNKNOWN),
        ("https://", UNKNOWN),
        ("https://good.org\\@evil.org", UNKNOWN),
        ("https://good.org:80a/", UNKNOWN),
        ("https://evil?.org&x", "evil"),
    ],
)
def test_where_a_url_leads(url: str, host: str | None) -> None:
    assert host_of(url.replace("\\x01", "\x01")) == host


def test_exact_names_and_names_under_one() -> None:
    allowed = AllowedHosts.of(["img.example.org", ".cdn.example.org"])
    hosts = (
        "img.example.org",
        "a.cdn.example.org",
        None,
        "example.org",
        "cdn.example.org",
        "xcdn.example.org",
        UNKNOWN,
    )
    assert [allowed.allow(host) for host in hosts] == [True, True, True, False, False, False, False]


@pytest.mark.parametrize("host", ["https://a.org", "A.org", "", ".", "a.org/", "*.a.org", "a.org.", "é.org"])
def test_what_is_no_host_name_is_told(host: str) -> None:
    with pytest.raises(UsageError, match="no host name"):
        AllowedHosts.of([host])


def test_a_text_is_no_list() -> None:
    with pytest.raises(UsageError, match="a list"):
        AllowedHosts.of("a.org")
