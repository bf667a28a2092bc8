"""Redaction of what is kept: secrets, personal data and canaries always, and what else the operator names.

What cannot be redacted is not kept: a text that was not scanned to its end, or a finding without a place.
"""

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from backstay.guard.findings import is_wanted, replaced
from backstay.guard.harvest.kept_exchange import KeptDecision, KeptExchange, Turn
from backstay.records import Finding
from backstay.scan import (
    Canary,
    CanaryScanner,
    IdentifierScanner,
    ScanBundle,
    Scanner,
    ScanSettings,
    SecretScanner,
    bundle_of,
)
from backstay.scan.scanner import NOT_DECODED, NOT_SCANNED, Point

ALWAYS = frozenset({"secrets", "identifiers", "canary"})
MASK = "[REDACTED:{kind}]"
WITHHELD = "[WITHHELD]"
PASSES = 4
MAX_EXACT = 2**53 - 1
"""Greater numbers are kept as text: canonical JSON does not hold them."""
DEADLINE_MS = 5000.0
_POINT: Point = "model.output"


class Masked(NamedTuple):
    """A text after redaction, and the kinds that were replaced in it."""

    text: str
    kinds: frozenset[str]


class Unredactable(Exception):
    """A text cannot be redacted for sure, so nothing of it may be kept."""


class Redactor:
    """Replaces findings until none is left; may be called from several threads."""

    def __init__(
        self, scan: ScanSettings | None = None, redact: Sequence[str] = ("*",), canaries: tuple[Canary, ...] = ()
    ) -> None:
        settings = scan or ScanSettings(scanners=())
        others = tuple(name for name in settings.scanners if name not in ALWAYS)
        scanners: tuple[Scanner, ...] = (
            SecretScanner(deadline_ms=DEADLINE_MS),
            IdentifierScanner(deadline_ms=DEADLINE_MS),
            *((CanaryScanner(canaries, deadline_ms=DEADLINE_MS),) if canaries else ()),
            *bundle_of(settings.model_copy(update={"scanners": others, "points": {}})).scanners,
        )
        points: dict[Point, tuple[str, ...]] = {_POINT: tuple(one.name for one in scanners)}
        self._bundle = ScanBundle(scanners, points, DEADLINE_MS, settings.max_characters)
        self._wanted = frozenset(redact) | ALWAYS
        self._lock = threading.Lock()

    def text(self, text: str) -> Masked:
        """The text with every wanted finding replaced; raises Unredactable."""
        kinds: set[str] = set()
        for _ in range(PASSES):
            findings = self._findings(text)
            outcome = replaced(text, findings, self._wanted, lambda kind: MASK.format(kind=kind))
            if not outcome.kinds:
                return Masked(text, frozenset(kinds))
            kinds.update(outcome.kinds)
            text = outcome.text
        raise Unredactable("replacing findings makes new ones")

    def clean(self, texts: Sequence[str]) -> bool:
        """Whether nothing that always goes is left in these texts, one after the other."""
        try:
            return not any(_always(finding) for finding in self._findings("\n".join(texts)))
        except Unredactable:
            return False

    def value(self, value: Any, kinds: set[str]) -> Any:
        """A JSON value with every text in it redacted, names of keys and numbers too; `kinds` grows."""
        if isinstance(value, dict):
            return {self._noted(str(name), kinds): self.value(item, kinds) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, kinds) for item in value]
        if isinstance(value, str):
            return self._noted(value, kinds)
        if isinstance(value, int | float) and not isinstance(value, bool):
            masked = self._noted(str(value), kinds)
            return value if masked == str(value) and abs(value) <= MAX_EXACT else masked
        return value

    def exchange(self, kept: KeptExchange) -> KeptExchange:
        """The exchange with every text redacted; raises Unredactable."""
        kinds: set[str] = set()
        turns = tuple(self._turn(turn, kinds) for turn in kept.turns)
        decisions = tuple(self._decision(one) for one in kept.decisions)
        for one in decisions:
            kinds.update(one.masked)
        model = self._noted(kept.model, kinds)
        changed = {"model": model, "turns": turns, "decisions": decisions, "masked": tuple(sorted(kinds))}
        return kept.model_copy(update=changed)

    def _turn(self, turn: Turn, kinds: set[str]) -> Turn:
        return Turn(role=turn.role, text=self._noted(turn.text, kinds), tool=self._noted(turn.tool, kinds))

    def _decision(self, one: KeptDecision) -> KeptDecision:
        kinds: set[str] = set()
        args = self.value(one.args, kinds)
        if not self.clean(leaves(args)):  # A number beside its label, say, where neither alone is a finding.
            args = dict.fromkeys(args, WITHHELD)
            kinds.add("withheld")
        changed = {
            "text": self._noted(one.text, kinds),
            "args": args,
            "tool": self._noted(one.tool, kinds),
            "resource": self._noted(one.resource, kinds),
            "provenance": self._keys(one.provenance, kinds),
        }
        return one.model_copy(update={**changed, "masked": tuple(sorted(kinds))})

    def _keys(self, found: dict[str, tuple[str, ...]] | None, kinds: set[str]) -> dict[str, tuple[str, ...]] | None:
        return None if found is None else {self._noted(name, kinds): origins for name, origins in found.items()}

    def _noted(self, text: str, kinds: set[str]) -> str:
        masked = self.text(text) if text else Masked("", frozenset())
        kinds.update(masked.kinds)
        return masked.text

    def _findings(self, text: str) -> tuple[Finding, ...]:
        with self._lock:
            findings = self._bundle.scan(text, _POINT).findings
        unread = [f for f in findings if f.kind == NOT_SCANNED or (f.kind == NOT_DECODED and f.scanner in ALWAYS)]
        if unread:
            raise Unredactable(f"{unread[0].scanner} did not read the text to its end")
        if any(finding.span is None and _always(finding) for finding in findings):
            raise Unredactable("a finding has no place in the text")
        return tuple(f for f in findings if is_wanted(f.kind, f.scanner, self._wanted))


def _always(finding: Finding) -> bool:
    return finding.scanner in ALWAYS or finding.kind in ALWAYS


def leaves(value: Any) -> list[str]:
    """Every text and number of a JSON value, names of keys too, in order."""
    if isinstance(value, dict):
        return [leaf for name, item in value.items() for leaf in (str(name), *leaves(item))]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item)]
    return [str(value)] if isinstance(value, str | int | float) and not isinstance(value, bool) else []
