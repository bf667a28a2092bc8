"""Texts made to be dear, long or odd for the injection scanner."""

import time

import pytest

from backstay.scan import Budget, View
from backstay.scan.injection import MAX_FINDINGS, InjectionScanner, Reader

pytestmark = pytest.mark.hostile
SIZE = 20_000
UNITS = (
    *("ignore ", "ignore all the ", "<|im_start|>", "i g n o r e ", "a", "|a", "a. ", "\n", "system: x\n"),
    *("e\u0301", "a\U000e0041", "a\ufe01", "%41", "69676e6f7265206d65 ", "aWdub3JlIGFsbCB0aGUgcnVsZXM= ", "1gn0r3 "),
    *("gur lbh vtaber ", " eht uoy ", "\u5ffd\u7565\u3002", "\U0010ffff", "\ud800"),
)


@pytest.mark.parametrize("reader", ["user", "data"])
@pytest.mark.parametrize("unit", UNITS)
def test_no_text_costs_much_more_than_two_milliseconds_a_kilobyte(unit: str, reader: Reader) -> None:
    scanner, text = InjectionScanner(reader), (unit * SIZE)[:SIZE]
    scanner.scan(View.of("warm \u00e9"))
    spent = []
    for _ in range(3):
        begin = time.thread_time()
        found = scanner.scan(View.of(text))
        spent.append(time.thread_time() - begin)
    assert min(spent) * 1000 / (SIZE / 1000) < 4  # the benchmark holds 2; here is slack for a loaded machine
    assert len(found) <= MAX_FINDINGS + 1


def test_what_the_deadline_cut_off_is_said() -> None:
    text = "The boats came in. " * 100_000
    found = InjectionScanner("data").scan(View.of(text), Budget.of(5))
    assert [f.kind for f in found] == ["not_scanned"]
