"""Places where a rule without a literal may match: tokens of letters and digits that hold a digit.

A payment card or an identity number holds no literal. What all of them share is that their first run of letters and
digits begins with few letters and has a digit in it. Prose has few such tokens; for each, its pattern of letters and
digits tells which rules are worth a look, and patterns are few enough to be remembered.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from backstay.scan.engine import compile_re2
from backstay.scan.rule import ALNUM, Item, Rule, nested, one_of

WIDTH = 10
"""Characters of a token whose pattern is looked at."""

_DIGITS = frozenset(b"0123456789")
_LETTERS = ALNUM - _DIGITS
_PATTERN = bytes(ord("A") if c in _LETTERS else ord("9") if c in _DIGITS else c for c in range(256))


def _widened(chars: frozenset[int]) -> frozenset[int]:
    """The class, with all letters where it has one and all digits where it has one."""
    return chars | (_LETTERS if chars & _LETTERS else frozenset()) | (_DIGITS if chars & _DIGITS else frozenset())


def opening(rule: Rule) -> Any:
    """A regex over patterns of letters and digits: whether a text that begins so may be, or become, a match."""
    wide = [Item(b"[%s]" % one_of(_widened(item.chars)), item.low, item.high, frozenset()) for item in rule.items]
    return compile_re2(nested(wide, b""))


class _Opened:
    """The rules that a token's pattern opens; one regex tells whether a look at them is worth while."""

    def __init__(self, rules: Sequence[tuple[int, Rule]]) -> None:
        self.rules = tuple(rules)
        by_case = ((rule, b"(?i:%s)" if rule.ignore_case else b"(?:%s)") for _, rule in rules)
        self._never_after = (
            frozenset[int].intersection(*(rule.not_after for _, rule in rules)) if rules else frozenset()
        )
        self._worth = compile_re2(b"|".join(form % rule.beginning for rule, form in by_case))

    def worth(self, text: bytes, start: int) -> bool:
        """Whether any of them may match here."""
        if not self.rules or (start > 0 and text[start - 1] in self._never_after):
            return False
        return self._worth.match(text, start) is not None


class TokenGate:
    """The rules that are opened by a token."""

    def __init__(self, rules: Iterable[tuple[int, Rule]]) -> None:
        self._rules = list(rules)
        self.lead = max((rule.lead or 0 for _, rule in self._rules), default=0)
        """Most letters with which a token of any rule begins."""
        self._known: dict[bytes, _Opened] = {}

    @cached_property
    def _openings(self) -> list[Any]:
        return [opening(rule) for _, rule in self._rules]

    def found(self, text: bytes, seen: int) -> Iterator[tuple[int, int]]:
        """Starts and rules of the tokens whose first digit stands at `seen` or behind."""
        if not self._rules:
            return
        for match in _token().finditer(text, self._resume(text, seen)):
            start, end = match.span()
            opened = self._opened(text, start, end)
            for index, rule in opened.rules if opened.worth(text, start) else ():
                if rule.may_start(text, start):
                    yield start, index

    def held_from(self, text: bytes) -> int:
        """Where letters at the end of the text begin to which a digit may come."""
        start = self._letters_before(text, len(text)) if self._rules else len(text)
        if len(text) - start > self.lead or (start > 0 and text[start - 1] in ALNUM):
            return len(text)
        return start

    def _letters_before(self, text: bytes, end: int) -> int:
        """Where the run of letters begins that ends here; at most one more than `lead` of them are looked at."""
        start = end
        while start > 0 and end - start <= self.lead and text[start - 1] in _LETTERS:
            start -= 1
        return start

    def _resume(self, text: bytes, seen: int) -> int:
        start = self._letters_before(text, seen)
        if start == 0 or text[start - 1] not in ALNUM:
            return start
        gap = _gap().search(text, seen)
        return len(text) if gap is None else int(gap.start())

    def _opened(self, text: bytes, start: int, end: int) -> _Opened:
        key = text[start : min(end + 1, start + WIDTH)].translate(_PATTERN)
        known = self._known.get(key)
        if known is None:
            pairs = zip(self._rules, self._openings, strict=True)
            known = self._known[key] = _Opened([pair for pair, regex in pairs if regex.match(key)])
        return known


def _token() -> Any:
    return compile_re2(b"[A-Za-z]*[0-9][A-Za-z0-9]*")


def _gap() -> Any:
    return compile_re2(b"[^A-Za-z0-9]")
