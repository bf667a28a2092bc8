"""A rule for text of a known shape, written so that a stream can be matched with it.

A shape is a sequence of items, each a character, an escaped one, or a class in brackets, with `?`, `{n}`, `{m,n}`, and
on the last one `{n,}`. There are no groups and no alternatives: so the shortest text that may still become a match is
known, and with it what a stream has to hold back.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Literal

from backstay.errors import UsageError
from backstay.scan.engine import compile_re2

Severity = Literal["info", "low", "medium", "high", "critical"]
Judge = Callable[[bytes], Severity | None]
"""The severity of a matched value, or None where it is no finding after all."""
Behind = Callable[[bytes], bool]
"""Whether a match may stand behind this text: all that precedes it, at most `LOOK_BEHIND` characters."""
Excuse = Callable[[bytes], bool]
"""Whether a value that a judge holds for a finding may pass after all."""

MAX_REPEAT = 1000
LOOK_BEHIND = 1000
_DIGITS = frozenset(b"0123456789")
ALNUM = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_ITEM = rb"(\[(?:\\.|[^\]\\])+\]|\\.|[^\\\[\](){}?*+.|^$])(\{\d+(?:,\d*)?\}|\?)?"


@dataclass(frozen=True)
class Item:
    """One class of characters, repeated `low` to `high` times; `high` None is without end."""

    pattern: bytes
    low: int
    high: int | None
    chars: frozenset[int]

    def regex(self) -> bytes:
        """A regex of this item; of one without end, its least length."""
        return self.pattern + (b"{%d}" % self.low if self.high is None else b"{%d,%d}" % (self.low, self.high))

    def begun(self) -> bytes:
        """A regex of everything that may stand where this item is not finished."""
        return self.pattern + b"{0,%d}" % (self.low if self.high is None else self.high)


def parse_shape(shape: str, *, ignore_case: bool) -> tuple[Item, ...]:
    """The items of a shape; raises UsageError where it holds anything else."""
    raw, items, place = shape.encode("ascii"), [], 0
    pattern = compile_re2(_ITEM)
    while place < len(raw):
        match = pattern.match(raw, place)
        if match is None:
            raise UsageError(f"shape {shape!r} is not understood at character {place}", cure="see docs/scan/secrets.md")
        items.append(_item(match.group(1), match.group(2) or b"{1}", ignore_case))
        place = match.end()
    return tuple(items)


@cache
def _chars_of(pattern: bytes, *, ignore_case: bool) -> frozenset[int]:
    one = compile_re2(pattern, ignore_case=ignore_case)
    return frozenset(code for code in range(128) if one.fullmatch(bytes([code])))


def _item(pattern: bytes, repeat: bytes, ignore_case: bool) -> Item:
    chars = _chars_of(pattern, ignore_case=ignore_case)
    if repeat == b"?":
        return Item(pattern, 0, 1, chars)
    low, comma, high = repeat[1:-1].partition(b",")
    top = int(high) if high else (None if comma else int(low))
    return Item(pattern, int(low), top, chars)


def nested(items: Sequence[Item], end: bytes) -> bytes:
    """A regex of the items and `end` behind them, or of any beginning of the items that the text ends in."""
    for item in reversed(items):
        end = b"(?:%s\\z|%s%s)" % (item.begun(), item.regex(), end)
    return end


def one_of(chars: frozenset[int]) -> bytes:
    """The inside of a class of these characters."""
    return b"".join(b"\\x%02x" % code for code in sorted(chars))


@dataclass(frozen=True)
class Rule:
    """A kind of finding.

    `gate` is a literal that every match holds: at its start, or, with `before` > 0, after that many items. A rule with
    an empty gate is opened by a token instead: a run of letters and digits, a digit in it, at which its match starts.
    `value_at` is the first item of what is redacted, `cut` a number of characters at its end that are kept. `close`
    makes the match run on to that literal, for at most `cap` characters. An open last item makes it run on while its
    class does. Characters of `not_after` may not stand before a match (nor before its value), of `not_before` not
    behind it; behind a `number` no decimal may follow. `excuse` is asked only where the text is as it is seen: no
    look-alikes, nothing hidden.
    """

    kind: str
    gate: bytes
    items: tuple[Item, ...]
    severity: Severity = "high"
    ignore_case: bool = False
    before: int = 0
    value_at: int = 0
    cut: int = 0
    word_start: bool = True
    close: bytes = b""
    cap: int = 20_000
    judge: Judge | None = field(default=None, compare=False)
    behind: Behind | None = field(default=None, compare=False)
    excuse: Excuse | None = field(default=None, compare=False)
    not_after: frozenset[int] = frozenset()
    not_before: frozenset[int] = frozenset()
    number: bool = False

    def __post_init__(self) -> None:
        self._check_shape()
        self._check_gate()

    def _check_shape(self) -> None:
        if any(item.high is None for item in self.items[:-1]):
            raise UsageError(f"rule {self.kind}: only the last item of a shape may be without end")
        if any((item.high or item.low) > MAX_REPEAT for item in self.items):
            raise UsageError(f"rule {self.kind}: items repeat at most {MAX_REPEAT} times")
        if self.items[-1].low < 1 or (self.before and self.items[0].low < 1):
            raise UsageError(f"rule {self.kind}: the last item, and the first before a gate, must be there")
        if self.tail is not None and not all(item.chars <= self.tail for item in self.items):
            raise UsageError(f"rule {self.kind}: the class of an open end must hold every character of the shape")
        if not self.bounded and (self.number or self.not_before):
            raise UsageError(f"rule {self.kind}: what may not follow is told only of a match with an end of its own")

    def _check_gate(self) -> None:
        if not self.gate and (self.value_at or not self.word_start or self.lead is None):
            raise UsageError(f"rule {self.kind}: without a gate a shape is letters, then a digit, then anything")
        if self.before and self.ignore_case:
            raise UsageError(f"rule {self.kind}: a shape with items before its gate has one case")

    @cached_property
    def tail(self) -> frozenset[int] | None:
        """Characters over which a match runs on, None for a match with an end of its own."""
        return self.items[-1].chars if self.items[-1].high is None else None

    @cached_property
    def max_length(self) -> int:
        """Characters after which a match is certain or impossible, those for the boundary included."""
        return sum(item.low if item.high is None else item.high for item in self.items) + (2 if self.number else 1)

    @cached_property
    def lead(self) -> int | None:
        """Most letters before the first digit, None where a match need not begin with letters and a digit."""
        count = 0
        for item in self.items:
            if item.chars <= _DIGITS and item.low:
                return count
            if not item.chars <= ALNUM - _DIGITS:
                return None
            count += item.high or 0
        return None

    @cached_property
    def bounded(self) -> bool:
        """Whether a match has a greatest length at all."""
        return self.tail is None and not self.close

    @cached_property
    def run(self) -> tuple[frozenset[int], int, int]:
        """Class, least and greatest length of what stands before the gate."""
        head = self.items[: self.before]
        chars = frozenset[int]().union(*(item.chars for item in head))
        return chars, sum(item.low for item in head), sum(item.high or 0 for item in head)

    @cached_property
    def after_gate(self) -> frozenset[int] | None:
        """Characters of which one must follow the gate, None where anything may."""
        place = self.before + len(self.gate)
        if not self.gate:
            return None
        return self.items[place].chars if place < len(self.items) and self.items[place].low else None

    @cached_property
    def _whole(self) -> Any:
        shape = b"".join(item.regex() for item in self.items)
        end = b"" if not self.bounded else b"(?:[^%s]|\\z)" % one_of(self.items[-1].chars | self.not_before)
        return compile_re2(shape + end, ignore_case=self.ignore_case)

    @cached_property
    def _begun(self) -> Any:
        end = (b"[.,]?\\z" if self.number else b"\\z") if self.bounded else b"[^\\x00-\\xff]"
        return compile_re2(nested(self.items, end), ignore_case=self.ignore_case)

    @cached_property
    def beginning(self) -> bytes:
        """A regex of every text that is a match or may become one, whatever follows it."""
        return nested(self.items, b"")

    @cached_property
    def _before_value(self) -> Any:
        return compile_re2(b"".join(i.regex() for i in self.items[: self.value_at]), ignore_case=self.ignore_case)

    @cached_property
    def run_on(self) -> Any:
        """The regex of the class over which a match runs on."""
        return compile_re2(self.items[-1].pattern + b"*", ignore_case=self.ignore_case)

    def starts(self, text: bytes, gate_at: int) -> int | None:
        """Where a match with its gate here begins, None where none can."""
        start = gate_at
        if self.before:
            chars, low, high = self.run
            while start > 0 and gate_at - start <= high and text[start - 1] in chars:
                start -= 1
            if not low <= gate_at - start <= high:
                return None
        return start if self.may_start(text, start) else None

    def may_start(self, text: bytes, start: int) -> bool:
        """Whether what stands before this place lets a match begin here."""
        if start == 0:
            return True
        before = text[start - 1]
        return not (self.word_start and before in ALNUM) and before not in self.not_after

    def may_become(self, text: bytes, start: int) -> bool:
        """Whether text that follows could still change what `match` says of this start."""
        if len(text) - start >= self.max_length or not self.stands(text, start):
            return False
        return self._begun.match(text, start) is not None

    def match(self, text: bytes, start: int) -> tuple[int, int] | None:
        """Start and end of what is redacted, before it runs on, or None."""
        found = self._whole.match(text, start, min(len(text), start + self.max_length))
        if found is None:
            return None
        end = found.end()
        if self.bounded and text[end - 1] not in self.items[-1].chars:
            end -= 1
        if self.number and text[end : end + 1] in (b".", b",") and text[end + 1 : end + 2].isdigit():
            return None
        value = self._before_value.match(text, start).end() if self.value_at else start
        if self.value_at and (value >= end or text[value - 1] in self.not_after):
            return None
        return value, end - self.cut

    def stands(self, text: bytes, start: int) -> bool:
        """Whether the text before a match is such that it counts."""
        return self.behind is None or self.behind(text[max(0, start - LOOK_BEHIND) : start])

    def severity_of(self, value: bytes, *, altered: bool = False) -> Severity | None:
        """The severity of a match with this value, None where a check says that it is none.

        `altered` tells that the text does not stand there as the view shows it.
        """
        severity = self.severity if self.judge is None else self.judge(value)
        excused = self.excuse is not None and not altered and severity is not None and self.excuse(value)
        return None if excused else severity


def trailing_starts(rule: Rule, text: bytes) -> Iterator[int]:
    """Where at the end of the text something begins that with text to follow could reach the rule's gate."""
    chars, _, high = rule.run
    for length in range(len(rule.gate)):
        if length and not text.endswith(rule.gate[:length]):
            continue
        end = start = len(text) - length
        while start > 0 and end - start <= high and text[start - 1] in chars:
            start -= 1
        if 0 < end - start <= high and text[start] in rule.items[0].chars:
            yield start
