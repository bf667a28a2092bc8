import json
import time

import pytest

from backstay.scan import luhn_holds, scan_personal

KEY = "AKIA" + "ABCDEFGHIJKLMNOP"


def kinds(text: str) -> list[str]:
    return [finding.kind for finding in scan_personal(text)]


@pytest.mark.parametrize(
    ("digits", "holds"), [("79927398713", True), ("79927398710", False), ("4111111111111111", True), ("0", True)]
)
def test_luhn(digits: str, holds: bool) -> None:
    assert luhn_holds(digits) is holds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.doe@mail.org today", ["email"]),
        ("write to jane@example.com or bob@shop.test", []),
        ("card 4111 1111 1111 1111 please", ["card_number"]),
        ("card 4111 1111 1111 1112 please", []),
        ("call +44 20 7946 0958", ["phone"]),
        ("call (212) 736-5000 now", ["phone"]),
        ("call (212) 555-0123 now", []),
        (f"key = {KEY}", ["secret"]),
        (KEY + "Q", []),
        ("-----BEGIN RSA PRIVATE KEY-----", ["private_key"]),
        ("on 01-02-2020 and 2020-01-02 we paid 1,234,567.89", []),
        ("pi is 3.14159265358979323846", []),
        ("jane@mail.org, 4111111111111111", ["email", "card_number"]),
    ],
)
def test_kinds(text: str, expected: list[str]) -> None:
    assert kinds(text) == expected


def test_the_span_is_right_and_the_evidence_is_masked() -> None:
    text = f"use {KEY}."
    (finding,) = scan_personal(text)
    assert finding.span is not None
    assert text[slice(*finding.span)] == KEY
    assert KEY not in json.dumps(finding.payload())


@pytest.mark.parametrize("piece", ["1 ", "a@", "a.", "+1-", "0-0", "(12)", "xox", "a@a."])
def test_hostile_text_is_scanned_in_linear_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    start = time.process_time()
    scan_personal(text)
    assert time.process_time() - start < 2.0


def test_what_is_too_long_to_scan_is_said() -> None:
    assert kinds("a " * 150_000) == ["not_scanned"]
