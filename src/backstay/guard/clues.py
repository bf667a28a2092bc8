"""What would show where one value came from: the marks that a text must hold."""

import re
from collections.abc import Hashable
from typing import Any, NamedTuple

from backstay.guard.marks import (
    ID_LENGTHS,
    SHINGLE,
    Found,
    Mark,
    addresses,
    dates,
    emails,
    normal,
    number,
    numbers,
    squeezed,
    times,
    words,
)
from backstay.scan.view import View

_ID = re.compile(r"[\w .()/+-]+", re.ASCII)
_BETWEEN = re.compile(r"[\st,]*(?:at )?(?:z|\+00:00)?")


class Clue(NamedTuple):
    """The marks of a value.

    `whole`: for each part of the value its possible readings; who said all of them said the value. `telling`: a mark
    which by itself shows where the value came from, such as an address within a long text.
    """

    whole: tuple[tuple[Mark, ...], ...]
    telling: tuple[Mark, ...] = ()

    def marks(self) -> set[Mark]:
        """All of them."""
        return {mark for readings in self.whole for mark in readings} | set(self.telling)


WEAK = Clue(())
"""Of a value that occurs everywhere: its origin cannot be told."""


def clue(value: Any) -> Clue | None:
    """The clue of a leaf of JSON; None where it cannot be read (a number too long, no JSON)."""
    if value is None or isinstance(value, bool):
        return WEAK
    if isinstance(value, int | float):
        return _number_clue(value)
    return _string_clue(normal(View.of(value)).strip()) if isinstance(value, str) else None


def key_of(value: Any) -> Hashable:
    """What two values have in common exactly when they are the same value as a whole, in whatever spelling.

    A value too weak for marks is its own text.
    """
    found = clue(value)
    if found is None or found == WEAK:
        return normal(View.of(str(value))).strip()
    return found.whole


def _number_clue(value: float) -> Clue | None:
    if isinstance(value, int):
        if abs(value) >= 10**40:
            return None
        digits = str(abs(value))
        return _of_number(("-" if value < 0 else "") + number(digits, "", 0), digits)
    if not -1e300 < value < 1e300:
        return None
    mantissa, _, power = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    return _of_number(("-" if value < 0 else "") + number(whole, fraction, int(power or 0)), whole)


def _of_number(canonical: str, digits: str) -> Clue:
    significant, _, power = canonical.lstrip("-").partition("e")
    if int(power) >= 0 and len(significant) + int(power) < 3:
        return WEAK
    account: tuple[Mark, ...] = (("id", digits),) if len(digits) in ID_LENGTHS else ()
    return Clue(((("number", canonical), *account),))


def _string_clue(text: str) -> Clue:
    short = squeezed(text)
    if len(short) < (3 if short.isascii() else 2):
        return WEAK
    return _moment(text) or _one_number(text) or _address(text) or _account(text, short) or _text(text)


def _covers(found: Found | None, text: str) -> bool:
    return found is not None and found.span == (0, len(text))


def _moment(text: str) -> Clue | None:
    """A date, a time or both, and nothing else."""
    if len(text) > 60:
        return None
    found = sorted([*dates(text), *times(text)], key=lambda one: one.span)
    rest = text
    for one in reversed(found):
        rest = rest[: one.span[0]] + rest[one.span[1] :]
    return Clue(tuple(one.readings for one in found)) if found and _BETWEEN.fullmatch(rest) else None


def _one_number(text: str) -> Clue | None:
    found = next(numbers(text), None) if len(text) <= 100 else None
    if found is None or not _covers(found, text):
        return None
    digits = squeezed(text)
    read = [_of_number(canonical, digits) for _, canonical in found.readings]
    return WEAK if WEAK in read else Clue((tuple(dict.fromkeys(mark for one in read for mark in one.whole[0])),))


def _address(text: str) -> Clue | None:
    found = next(emails(text), None)
    if found is not None and _covers(found, text):
        return Clue((found.readings,), found.readings)
    found = next(addresses(text), None)
    if found is None or not _covers(found, text):
        return None
    whole, host = found.readings
    return Clue((found.readings,) if whole[1] == host[1] else ((whole,),), found.readings)


def _account(text: str, short: str) -> Clue | None:
    """An account number, a telephone number or the like, in whatever groups."""
    shaped = len(text) <= 100 and _ID.fullmatch(text) and sum(map(str.isdigit, short)) >= 4
    return Clue(((("id", short),),)) if shaped and len(short) in ID_LENGTHS else None


def _text(text: str) -> Clue:
    in_order = words(text)
    length = min(SHINGLE, len(in_order))
    runs: list[Mark] = [("word", " ".join(in_order[i : i + length])) for i in range(len(in_order) - length + 1)]
    within = [*emails(text), *addresses(text)]
    numbered = (("id", word) for word in in_order if len(word) >= 10 and sum(map(str.isdigit, word)) >= 4)
    accounts = [mark for mark in numbered if len(mark[1]) in ID_LENGTHS]
    parts = [(mark,) for mark in dict.fromkeys([*runs, *(one.readings[0] for one in within)])]
    return Clue(tuple(parts), (*(mark for one in within for mark in one.readings), *accounts))
