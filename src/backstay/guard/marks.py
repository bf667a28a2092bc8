"""The values in a text in one spelling each ("marks"), so that a copy is found however it was written.

A mark is a kind and a canonical value: `word` runs, `number`, `date`, `time`, `email`, `url`, `host`, `id`. All are
read from the normalised view in lower case. Every expression looks ahead a bounded way: time is linear in the text.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from backstay.scan.view import View

SHINGLE = 5
"""Words in a row that are compared at once."""
ID_LENGTHS = range(6, 41)
_ID_PREFIX = 4
_MAX_DIGITS = 40

Mark = tuple[str, str]

_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_WORD = re.compile("[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af]|[^\\W_\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af]+")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_URL = re.compile(
    r"""(?<![\w+.-])[a-z][a-z0-9+.-]{1,9}://[^\s<>"'`{}|\\^]{1,2000}"""
    r"""|(?<![\w@.+/-])(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}(?![\w@-]|\.\w)(?:[:/?#][^\s<>"'`{}|\\^]{0,2000})?"""
)
_NUMBER = re.compile(
    r"(?<![^\W_])(?<!\d[.,:'])(?P<sign>(?<![\w.)])-)?"
    r"(?:(?P<grouped>\d{1,3}(?:[,.']\d{3}){1,12}(?:[.,]\d{1,40})?)|(?P<plain>\d{1,40}(?:[.,]\d{1,40})?))"
    r"(?:e(?P<power>[+-]?\d{1,4}))?(?!\d)(?![.,:']\d)"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<{{}}>{'|'.join(_MONTHS)})[a-z]{{{{0,6}}}}\.?"
_DATE = re.compile(
    r"(?<![\w.-])(?:(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})"
    r"|(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<y2>\d{4})"
    rf"|(?P<d3>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?{_MONTH.format('m3')},? (?P<y3>\d{{4}})"
    rf"|{_MONTH.format('m4')} (?P<d4>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y4>\d{{4}}))(?!\d)"
)
_TIME = re.compile(
    r"(?<![\d:.,])(?P<h>\d{1,2})(?::(?P<m>\d{2})(?::(?P<s>\d{2})(?:\.\d{1,9})?)?(?: ?(?P<half>[ap])\.?m\b)?"
    r"| ?(?P<half2>[ap])\.?m\b)(?![\d:])"
)


class Found(NamedTuple):
    """A value in a text: its readings (more than one where the spelling is ambiguous), and where it stands."""

    readings: tuple[Mark, ...]
    span: tuple[int, int]


def normal(view: View) -> str:
    """A text as marks are read from it: its view in lower case, the digits of all scripts made ASCII."""
    text = view.text.lower()
    return text if text.isascii() else _OTHER_DIGIT.sub(lambda found: str(int(found[0])), text)


def words(text: str) -> list[str]:
    """The words of a normalised text; a Chinese, Japanese or Korean character is a word of its own."""
    return _WORD.findall(text)


def squeezed(text: str) -> str:
    """A normalised text without all that separates words."""
    return "".join(words(text))


def emails(text: str) -> Iterator[Found]:
    """E-mail addresses."""
    for found in _EMAIL.finditer(text):
        yield Found((("email", found[0]),), found.span())


def addresses(text: str) -> Iterator[Found]:
    """Addresses in the web, with or without scheme: the whole (scheme left out) and the host."""
    for found in _URL.finditer(text):
        whole = found[0].rstrip(".,;:!?)]'")
        rest = whole.partition("://")[2] or whole
        host = re.split(r"[/?#\\]", rest, maxsplit=1)[0].rpartition("@")[2].partition(":")[0].rstrip(".")
        if host:
            yield Found((("url", rest.rstrip("/")), ("host", host)), (found.start(), found.start() + len(whole)))


def numbers(text: str) -> Iterator[Found]:
    """Numbers; `1.000` and `1,000` may be a thousand or one."""
    for found in _NUMBER.finditer(text):
        power = int(found["power"] or 0)
        sign = found["sign"] or ""
        spelled = found["grouped"] or found["plain"]
        readings = dict.fromkeys(("number", sign + number(*parts, power)) for parts in _parts(spelled))
        yield Found(tuple(readings), found.span())


def _parts(spelled: str) -> Iterator[tuple[str, str]]:
    """The ways to read a number: digits before and after its decimal sign."""
    pieces = re.split("[,.']", spelled)
    signs = re.findall("[,.']", spelled)
    grouped = len(pieces[0]) <= 3 and pieces[0] != "0" and all(len(piece) == 3 for piece in pieces[1:])
    if len(set(signs)) <= 1 and (grouped or not signs):
        yield "".join(pieces), ""
    if len(signs) == 1 or len(set(signs)) == 2:
        yield "".join(pieces[:-1]), pieces[-1]


def number(whole: str, fraction: str, power: int) -> str:
    """A number as its digits without zeros at the ends, and a power of ten; exact, whatever its size."""
    digits = (whole + fraction).lstrip("0")
    kept = digits.rstrip("0")
    return f"{kept}e{power - len(fraction) + len(digits) - len(kept)}" if kept else "0e0"


def dates(text: str) -> Iterator[Found]:
    """Dates with a year; of 1/2/2026 both orders."""
    for found in _DATE.finditer(text):
        readings = tuple(("date", date) for date in dict.fromkeys(_date_readings(found)) if date)
        if readings:
            yield Found(readings, found.span())


def _date_readings(found: re.Match[str]) -> tuple[str, ...]:
    if found["y"]:
        return (_date(found["y"], int(found["m"]), int(found["d"])),)
    if found["y2"]:
        first, second = int(found["a"]), int(found["b"])
        return _date(found["y2"], first, second), _date(found["y2"], second, first)
    name, day, year = found["m3"] or found["m4"], found["d3"] or found["d4"], found["y3"] or found["y4"]
    return (_date(year, _MONTHS.index(name) + 1, int(day)),)


def _date(year: str, month: int, day: int) -> str:
    return f"{int(year):04}-{month:02}-{day:02}" if 1 <= month <= 12 and 1 <= day <= 31 else ""


def times(text: str) -> Iterator[Found]:
    """Times of day: `09:30`, `9:30 am`, `9 am`; seconds where they are not 0."""
    for found in _TIME.finditer(text):
        hour, half = int(found["h"]), found["half"] or found["half2"]
        hour = hour % 12 + 12 * (half == "p") if half else hour
        seconds = f":{found['s']}" if int(found["s"] or 0) else ""
        yield Found((("time", f"{hour:02}:{found['m'] or '00'}{seconds}"),), found.span())


KINDS = {"email": emails, "url": addresses, "host": addresses, "number": numbers, "date": dates, "time": times}


class Wanted:
    """Marks to look for, ready to be found in many texts."""

    def __init__(self, marks: Iterable[Mark]) -> None:
        self.marks = frozenset(marks)
        kinds = {kind for kind, _ in self.marks}
        self._readers = [*{reader for kind, reader in KINDS.items() if kind in kinds}]
        self._runs: dict[str, set[int]] = defaultdict(set)
        self._ids: dict[str, set[int]] = defaultdict(set)
        for kind, value in self.marks:
            if kind == "word":
                self._runs[value.partition(" ")[0]].add(value.count(" ") + 1)
            elif kind == "id":
                self._ids[value[:_ID_PREFIX]].add(len(value))

    def found_in(self, text: str) -> set[Mark]:
        """The wanted marks that stand in a normalised text."""
        found = {mark for read in self._readers for one in read(text) for mark in one.readings if mark in self.marks}
        if self._runs or self._ids:
            in_order = words(text)
            found.update(mark for mark in self._word_runs(in_order) if mark in self.marks)
            found.update(mark for mark in self._joined(in_order) if mark in self.marks)
        return found

    def _word_runs(self, in_order: list[str]) -> Iterator[Mark]:
        for i, word in enumerate(in_order):
            for length in self._runs.get(word, ()):
                yield "word", " ".join(in_order[i : i + length])

    def _joined(self, in_order: list[str]) -> Iterator[Mark]:
        """Account numbers and the like, whatever groups they are written in; they begin and end with a word."""
        if not self._ids:
            return
        text = "".join(in_order)
        ends = list(accumulate(map(len, in_order)))
        is_end = bytearray(len(text) + 1)
        for end in ends:
            is_end[end] = 1
        for start in (0, *ends[:-1]):
            for length in self._ids.get(text[start : start + _ID_PREFIX], ()):
                if start + length <= len(text) and is_end[start + length]:
                    yield "id", text[start : start + length]
