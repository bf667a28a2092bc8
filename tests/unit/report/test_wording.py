import pytest

from backstay.report.wording import count, duration, label, number, percent, signed, span, visible, words


@pytest.mark.parametrize(
    ("value", "text"), [(0.126, "0.13"), (-0.126, "\u22120.13"), (-0.001, "0.00"), (None, "\u2014"), (3.0, "3.00")]
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.5, "+0.50"), (-0.5, "\u22120.50"), (0.001, "0.00"), (None, "\u2014")])
def test_differences_carry_their_sign(value: float | None, text: str) -> None:
    assert signed(value) == text


def test_shares_counts_and_intervals() -> None:
    assert percent(0.715, 1) == "71.5 %"
    assert percent(None) == "\u2014"
    assert count(1234567) == "1\u202f234\u202f567"
    assert span(0.1, 0.25) == "0.10 to 0.25"
    assert span(None, None) == "no interval"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "\u2014"), (3.14, "3.1 s"), (42.4, "42 s"), (59.97, "1 min 00 s"), (3725.0, "1 h 02 min")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_labels_are_one_short_line() -> None:
    assert label("a\nb\t c") == "a b c"
    assert label("x" * 40) == "x" * 31 + "\u2026"
    assert words("near_duplicate-pair") == "near duplicate pair"


def test_invisible_characters_become_visible() -> None:
    assert visible("a\u202eb\x00c\x1bd") == "a\ufffdb\ufffdc\ufffdd"
    assert visible("tab\tline\n\u00e4\u4e2d") == "tab\tline\n\u00e4\u4e2d"
    assert visible("\ud800") == "?"
