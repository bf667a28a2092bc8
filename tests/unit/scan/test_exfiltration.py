import base64
import time

import pytest
from cpu_time import least_cpu_s

from backstay.scan import NOT_SCANNED, Budget, ExfiltrationScanner, Scanner, View
from backstay.scan.exfiltration import KINDS, MAX_URLS, carries_data, squeezed

SAID = "The launch code is seven blue horses at dawn; ask Mrs. Vandermeer."
SCANNER = ExfiltrationScanner(allowed_hosts=("ok.org", ".cdn.net"), context=(SAID,))
CODED = base64.urlsafe_b64encode(b"seven blue horses at dawn").decode()


def kinds(text: str, scanner: ExfiltrationScanner = SCANNER) -> list[str]:
    return [finding.kind for finding in scanner.scan(View.of(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"https://evil.com/?q={CODED}", ["url_context", "url_data"]),
        (f"https://evil.com/{CODED}/x.png", ["url_context", "url_data"]),
        (f"https://evil.com/#{CODED}", ["url_context", "url_data"]),
        ("https://evil.com/?q=" + b"some other text".hex(), ["url_data"]),
        ("https://evil.com/?q=" + "k3Zq9wPl2xV7tB8mYc5nR4sHd6jQ1gWf0a", ["url_data"]),
        ("https://evil.com/?q=" + "a+b" * 200, ["url_data"]),
        ("https://evil.com/seven%20blue%20horses%20at%20dawn", ["url_context"]),
        ("https://seven-blue-horses.evil.com/", ["url_context"]),
        ("https://seven.blue.horses.evil.com/", ["url_context"]),
        ("https://evil.com/?a=mrsvandermeer", ["url_context"]),
        ("http://93.184.216.34/x", ["ip_host"]), ("http://2130706433/", ["ip_host"]), ("http://0x7f.1/", ["ip_host"]),
        ("http://[::1]:80/x", ["ip_host"]), ("https://xn--pple-43d.com", ["punycode_host"]),
        ("https://\u0430pple.com/", ["punycode_host"]), ("https://\u043ek.org/", ["punycode_host"]),
        ("https://u:p@evil.com/", ["credentials_in_url"]), ("https://ok.org@evil.com/", ["credentials_in_url"]),
        ("![a](https://evil.com/x)", ["image_url"]), ("<iframe src=//evil.com></iframe>", ["html_resource"]),
        ("[r]: https://evil.com", ["reference_url"]),
        ("\x1b[31mred\x1b[0m", ["ansi_escape", "ansi_escape"]),
        ("\x1b]8;;https://evil.com\x07hi\x1b]8;;\x07", ["terminal_link", "terminal_link"]),
        ("\x1b]0;title\x07", ["ansi_escape"]),
        ("data:text/html;base64,PHA+", ["data_url"]), ("<a href='data:application/x,1'>", ["data_url"]),
        ("data:image/svg+xml,<svg>", ["data_url"]),
    ],
)  # fmt: skip
def test_ways_out(text: str, expected: list[str]) -> None:
    assert sorted(kinds(f"see {text} now")) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"https://ok.org/?q={CODED} https://a.cdn.net/{CODED} ![a](https://ok.org/{CODED})",
        "https://docs.python.org/3/library/base64.html#base64.b64encode",
        "https://github.com/a/b/commit/0123456789abcdef0123456789abcdef01234567",
        "https://shop.org/product/wireless-noise-cancelling-headphones-2024-edition?utm_source=news&utm_campaign=spring",
        "https://www.shop.org/dp/B08N5WRWNW https://video.org/watch?v=dQw4w9WgXcQ (https://en.wikipedia.org/wiki/Launch)",
        "https://news.org/2024/05/17/international-business-machines-announces-results.html",
        "data:image/png;base64,AAAA and plain text with no URL; metadata: text/plain, x",
        "[a](https://evil.com/) <https://evil.com/a_(b)>",
    ],
)
def test_ordinary_links(text: str) -> None:
    assert kinds(text) == []


def test_without_context_nothing_is_compared() -> None:
    assert kinds("https://evil.com/?a=mrsvandermeer", ExfiltrationScanner()) == []


def test_spans_and_evidence() -> None:
    (finding,) = SCANNER.scan(View.of("é see http://93.184.216.34/x now"))
    assert finding.span == (6, 28) and "93" not in finding.evidence and finding.scanner == "exfiltration"
    assert set(kinds("![a](//e.com) \x1b[0m")) <= set(KINDS)


def test_too_many_urls_and_a_spent_budget_are_told() -> None:
    assert kinds("https://evil.com/a " * (MAX_URLS + 1)) == [NOT_SCANNED]
    assert [f.kind for f in SCANNER.scan(View.of("x"), Budget(time.monotonic() - 1))] == [NOT_SCANNED]
    scanner: Scanner = SCANNER
    assert scanner.max_match_length is None and squeezed("A-b 1!") == "ab1"


def test_parts_that_carry_something() -> None:
    assert carries_data(CODED) and not carries_data("international") and not carries_data("a" * 60)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "piece", ["https://", "https://a/", "https://a/?b&", "data:text/a,", "\x1b", "\x1b]8;", "http://a.b.", "%41"]
)
def test_hostile_text_costs_at_most_milliseconds_a_kilobyte(piece: str) -> None:
    SCANNER.scan(View.of(piece * 10))
    text = piece * (50_000 // len(piece))
    assert (
        least_cpu_s(lambda: SCANNER.scan(View.of(text))) < 1.0
    )  # ten times the target, so that a busy machine does not fail it
