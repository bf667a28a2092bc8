"""Prompt injection and jailbreaks: rules, and a small classifier over the sentences of a text and of what it encodes.

What is normal in a user's message ("summarise this") is an injection inside of a tool's result, so a scanner is for one
of both: `InjectionScanner.for_user()` or `InjectionScanner.for_data()`. docs/scan/injection.md says what it misses.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from backstay.records import Finding
from backstay.scan.hidden_text import hidden_texts
from backstay.scan.injection_model import HeadName, InjectionModel, Said, shipped_model
from backstay.scan.injection_rules import InjectionRules, RuleHit, injection_rules
from backstay.scan.readings import Reading, readings
from backstay.scan.rule import Severity
from backstay.scan.scanner import NO_LIMIT, NOT_DECODED, NOT_SCANNED, Budget, CostClass, Point
from backstay.scan.view import View
from backstay.scan.window_features import MAX_CHARACTERS, OVERLAP
from backstay.scan.window_model import stretches

SCANNER = "injection"
INJECTION_KINDS = ("hidden_instructions", "injection", "jailbreak", "role_markers")
Reader = Literal["user", "data"]

WORDS_BESIDE = 12
"""Words that must stand beside a plain task before it counts as hidden in data: a lone question is a record."""

MAX_FINDINGS = 50
"""Findings per text; the worst ones are kept."""

_HEADS: dict[Reader, tuple[HeadName, ...]] = {"user": ("jailbreak",), "data": ("takeover", "task")}
_POINTS: dict[Reader, frozenset[Point]] = {
    "user": frozenset[Point]({"request.input"}),
    "data": frozenset[Point]({"tool.result"}),
}
_RANK: dict[str, int] = {"critical": 0, "high": 1, "medium": 2, "low": 3, "info": 4}


@dataclass(frozen=True)
class InjectionScanner:
    """Finds attempts to take a model over in what a user writes, or in what a tool returns."""

    reader: Reader
    model: InjectionModel = field(default_factory=shipped_model)
    rules: InjectionRules = field(default_factory=injection_rules)
    deadline_ms: float = 50.0

    name: str = SCANNER
    cost_class: CostClass = "micro"

    @classmethod
    def for_user(cls) -> "InjectionScanner":
        """The scanner for what a user writes: kinds `jailbreak`, `hidden_instructions`, `role_markers`."""
        return cls("user")

    @classmethod
    def for_data(cls) -> "InjectionScanner":
        """The scanner for what tools and pages return: kinds `injection`, `hidden_instructions`, `role_markers`."""
        return cls("data")

    @property
    def points(self) -> frozenset[Point]:
        """Where it is of use."""
        return _POINTS[self.reader]

    @property
    def max_match_length(self) -> int | None:
        """None: a text is judged as a whole, so it is of no use in a stream."""
        return None

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:
        """Findings in order of place; the evidence is the score and how the text was read, never the text."""
        found = [*self._hidden(view), *self._marked(view)]
        read = readings(view, budget)
        for reading in read.readings:
            found.extend(self._judged(view, reading, budget))
        if not read.complete and not budget.spent:
            found.append(_finding(NOT_DECODED, "info", None, "too much is encoded"))
        if budget.spent:
            found.append(_finding(NOT_SCANNED, "high", None, "the deadline passed"))
        return _ordered(found, len(view.original))

    def _hidden(self, view: View) -> Iterator[Finding]:
        """Words that no reader sees; more severe where the classifier finds them to be orders."""
        for hidden in hidden_texts(view.original):
            said = self._worst(hidden.text)
            severity: Severity = "critical" if said is not None and said.found else "high"
            yield _finding(
                "hidden_instructions", severity, hidden.span, f"{hidden.encoding}, {len(hidden.text)} characters"
            )

    def _worst(self, text: str) -> Said | None:
        piece = self.model.read(View.of(text).text)
        return max(
            (self.model.say(head, piece) for head in _HEADS[self.reader]), key=lambda said: said.score, default=None
        )

    def _marked(self, view: View) -> Iterator[Finding]:
        hits = list(self.rules.markers(view.folded))
        if self.reader == "data":
            hits += self.rules.headings(view.folded)
        for hit in hits:
            yield _finding(hit.kind, hit.severity, view.span(hit.start, hit.end), hit.name)

    def _judged(self, view: View, reading: Reading, budget: Budget) -> Iterator[Finding]:
        """What rules and heads say of one reading; one finding a rule, and a head's for each piece."""
        for hit in self.rules.phrases(reading.folded):
            yield self._phrase(view, reading, hit)
        for start in _pieces(len(reading.text)):
            if budget.spent:
                return
            piece = self.model.read(reading.text[start : start + MAX_CHARACTERS])
            these = stretches(piece)
            for head in _HEADS[self.reader]:
                said = self.model.say(head, piece, these)
                beside = (
                    said.words_beside >= WORDS_BESIDE or start > 0 or reading.way not in ("plain", "joined", "leet")
                )
                if said.found and (head != "task" or beside):
                    yield self._said(view, reading, said, start)

    def _phrase(self, view: View, reading: Reading, hit: RuleHit) -> Finding:
        kind = "jailbreak" if self.reader == "user" else "injection"
        span = reading.span(view, hit.start, hit.end)
        return _finding(kind, hit.severity, span, f"rule {hit.name}{reading.told}")

    def _said(self, view: View, reading: Reading, said: Said, start: int) -> Finding:
        kind = "jailbreak" if said.head == "jailbreak" else "injection"
        severity: Severity = "medium" if said.head == "task" and reading.way == "plain" else "high"
        span = reading.span(view, start + said.span[0], start + said.span[1])
        return _finding(kind, severity, span, f"{said.head} {said.score:.2f}{reading.told}")


def _pieces(length: int) -> Iterable[int]:
    """Where the pieces of a text begin, each OVERLAP characters before the end of the one before."""
    return range(0, max(length - OVERLAP, 1), MAX_CHARACTERS - OVERLAP)


def _finding(kind: str, severity: Severity, span: tuple[int, int] | None, evidence: str) -> Finding:
    return Finding(scanner=SCANNER, kind=kind, severity=severity, span=span, evidence=evidence)


def _ordered(found: Iterable[Finding], length: int) -> tuple[Finding, ...]:
    """Distinct findings by place; of too many the worst, with one that counts the others."""
    worst = sorted(dict.fromkeys(found), key=lambda finding: _RANK[finding.severity])
    left = len(worst) - MAX_FINDINGS
    kept = worst[:MAX_FINDINGS] + ([_finding("more_findings", "info", None, f"{left} more")] if left > 0 else [])
    return tuple(sorted(kept, key=lambda finding: finding.span or (length, 0)))


def scan_injection(text: str, *, reader: Reader, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:
    """Findings in a text that a user wrote (`user`) or that a tool returned (`data`), with spans in it."""
    return InjectionScanner(reader).scan(View.of(text), budget)
