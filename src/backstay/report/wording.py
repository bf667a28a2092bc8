"""Numbers and names as a reader wants to see them."""

import re
from collections.abc import Mapping
from typing import Any

MINUS, DASH, TO = "\u2212", "\u2014", " to "
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def number(value: float | None, digits: int = 2) -> str:
    """A plain number with a true minus sign, a dash for None."""
    if value is None:
        return DASH
    text = f"{value:.{digits}f}"
    return (MINUS + text[1:] if text.startswith("-") else text) if float(text) else f"{0:.{digits}f}"


def signed(value: float | None, digits: int = 2) -> str:
    """A difference: always with its sign, unless it rounds to zero."""
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 and float(text) else text


def percent(value: float | None, digits: int = 0) -> str:
    """A share as per cent."""
    return DASH if value is None else f"{number(100.0 * value, digits)} %"


def chance(value: float) -> str:
    """A probability as per cent, with as many digits as a small one needs."""
    return "less than 0.1 %" if value < 0.001 else percent(value, 1 if value < 0.1 else 0)


def span(low: float | None, high: float | None, digits: int = 2) -> str:
    """An interval's bounds, or that there is none."""
    return "no interval" if low is None or high is None else f"{number(low, digits)}{TO}{number(high, digits)}"


def signed_span(row: Mapping[str, Any], digits: int = 2) -> str:
    """The bounds of a difference, each with its sign."""
    low, high = row["low"], row["high"]
    return "no interval" if low is None or high is None else f"{signed(low, digits)}{TO}{signed(high, digits)}"


def percent_span(row: Mapping[str, Any]) -> str:
    """The bounds of a share as per cent."""
    low, high = row["low"], row["high"]
    return "no interval" if low is None or high is None else f"{number(100 * low, 0)}{TO}{number(100 * high, 0)} %"


def count(value: int | None) -> str:
    """A count with thin spaces between thousands."""
    return DASH if value is None else f"{value:,}".replace(",", "\u202f")


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return DASH
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def short_hash(digest: str) -> str:
    """The first 12 hex digits."""
    return digest[:12]


def label(text: str, limit: int = 32) -> str:
    """One line for a chart: no control or direction marks, cut with an ellipsis."""
    line = " ".join(visible(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "\u2026"


def visible(text: str) -> str:
    """Text whose invisible control characters show as replacement marks and whose lone surrogates are replaced."""
    return _CONTROL.sub("\ufffd", text.encode("utf-8", "replace").decode("utf-8"))


def words(name: str) -> str:
    """A key as words: `near_duplicate` becomes `near duplicate`."""
    return name.replace("_", " ").replace("-", " ").strip()
