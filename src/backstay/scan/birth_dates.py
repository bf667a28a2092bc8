"""Days in identity numbers and days of birth as they are written."""

from datetime import date

_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WORDS = bytes(c if chr(c).isascii() and chr(c).isalnum() else 32 for c in range(256))
_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_MONTHS_ELSEWHERE = (
    b"ene", b"fev", b"mae", b"avr", b"mai", b"jui", b"jui", b"ago", b"set", b"okt", b"nov", b"dez",
    b"gen", b"fvr", b"mrt", b"abr", b"mag", b"giu", b"lug", b"aou", b"set", b"out", b"nov", b"dic",
)  # fmt: skip


def is_date(year: int, month: int, day: int) -> bool:
    """Whether the calendar has this day."""
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def short_date(digits: bytes) -> bool:
    """YYMMDD of the last or of this century."""
    year, month, day = int(digits[:2]), int(digits[2:4]), int(digits[4:6])
    return is_date(1900 + year, month, day) or is_date(2000 + year, month, day)


def birth_date(value: bytes) -> bool:
    """A day between 1900 and 2100, in any order of its parts."""
    parts = value.translate(_WORDS).split()
    numbers = [int(part.rstrip(_LETTERS)) for part in parts if part[:1].isdigit()]
    words = [part[:3].lower() for part in parts if not part[:1].isdigit()]
    if words:
        month = next((m for word in words if (m := _month(word))), 0)
        return len(numbers) == 2 and month > 0 and _some_date(numbers[0], numbers[1], month)
    if len(numbers) != 3:
        return False
    first, second, third = numbers
    if first > 31:
        return _in_range(first) and is_date(_full_year(first), second, third)
    year = _full_year(third)
    return _in_range(third) and (is_date(year, second, first) or is_date(year, first, second))


def _some_date(a: int, b: int, month: int) -> bool:
    day, year = (a, b) if a <= 31 else (b, a)
    return _in_range(year) and is_date(_full_year(year), month, day)


def _in_range(year: int) -> bool:
    return year < 100 or 1900 <= year <= 2100


def _full_year(year: int) -> int:
    return year if year >= 100 else 1900 + year


def _month(word: bytes) -> int:
    if word in _MONTHS:
        return _MONTHS.index(word) + 1
    return _MONTHS_ELSEWHERE.index(word) % 12 + 1 if word in _MONTHS_ELSEWHERE else 0
