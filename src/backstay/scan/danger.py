"""What the scanners of SQL, shell and code have in common: what they found, and how it becomes a finding."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from backstay.records import Finding
from backstay.scan.rule import Severity
from backstay.scan.scanner import NO_LIMIT, NOT_SCANNED, Budget, CostClass, Point
from backstay.scan.snippets import Snippet
from backstay.scan.view import View

WEIGHTY: frozenset[Severity] = frozenset({"high", "critical"})
"""Severities that count where nobody said that a piece is code; prose may look like a statement."""


def names(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


class Danger(NamedTuple):
    """One thing found in a piece of code: kind, severity, what it is in words of ours, and where in the piece."""

    kind: str
    severity: Severity
    said: str
    span: tuple[int, int]


class Clock:
    """Processor time of this thread that a parse may take; waiting for other threads does not count."""

    def __init__(self, milliseconds: float) -> None:
        self._end = time.thread_time() + milliseconds / 1000

    @property
    def spent(self) -> bool:
        """Whether the time is over."""
        return time.thread_time() > self._end


class Nested:
    """How much more may be read of scripts that stand in words of others: depth, and characters over all of them."""

    def __init__(self, text: str, depth: int = 3) -> None:
        self.depth = depth
        self._room = [len(text) + 4_000]

    def takes(self, text: str) -> "Nested | None":
        """What is left inside a script found here; None where it is too deep or too much by now."""
        self._room[0] -= len(text) + 50
        if not self.depth or self._room[0] < 0:
            return None
        inner = Nested("", self.depth - 1)
        inner._room = self._room
        return inner


Look = Callable[[Snippet], Iterable[Danger]]


@dataclass(frozen=True)
class DangerScanner(ABC):
    """A scanner of one language; `assume` where the text is known to be in it, as the argument of a tool."""

    assume: bool = False
    deadline_ms: float = 100.0

    name: str = ""
    cost_class: CostClass = "milli"
    points: frozenset[Point] = frozenset({"model.output", "model.tool_call", "response.final"})
    max_match_length: int | None = None
    language: ClassVar[str] = ""

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:
        """Findings in order of place, one for each kind and piece."""
        found = found_in(view, self.look, budget, scanner=self.name, assume=self.assume, language=self.language)
        return in_order(found)

    @abstractmethod
    def look(self, piece: Snippet) -> Iterator[Danger]:
        """What is dangerous in one piece."""


def found_in(view: View, look: Look, budget: Budget, *, scanner: str, assume: bool, language: str) -> Iterator[Finding]:
    """Findings of `look` in every piece that is said to be of the language, or of which nobody said anything.

    `assume`: pieces of which nobody said anything count as stated. Where the folded text differs from the original,
    the fold is looked at too, as a whole: full-width letters become code in some databases.
    """
    for piece in view.snippets.found:
        if budget.spent:
            yield Finding(scanner=scanner, kind=NOT_SCANNED, severity="high", evidence="the deadline passed")
            return
        if piece.language not in (language, None):
            continue
        stated = assume or piece.language == language
        for danger in look(piece):
            if stated or danger.severity in WEIGHTY:
                yield _finding(scanner, danger, piece.place(*danger.span))
    if not view.snippets.complete:
        yield Finding(scanner=scanner, kind=NOT_SCANNED, severity="high", evidence="too many pieces of code")
    if view.text != view.original:
        for danger in look(Snippet(view.text, (0, len(view.text)))):
            if danger.severity in WEIGHTY:
                yield _finding(scanner, danger, view.span(*danger.span) if danger.span[1] > danger.span[0] else (0, 0))


def _finding(scanner: str, danger: Danger, span: tuple[int, int]) -> Finding:
    return Finding(scanner=scanner, kind=danger.kind, severity=danger.severity, span=span, evidence=danger.said)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, by place; what has no place comes last."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda one: (one.span is None, one.span or (0, 0), one.kind)))
