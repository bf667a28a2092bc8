"""What scanners found in a text, as policies count it and as redaction replaces it."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from backstay.policy import Obligation, Redact
from backstay.records import Finding
from backstay.scan.scanner import NOT_DECODED, NOT_SCANNED

NO_FINDINGS = frozenset({NOT_DECODED})
"""Kinds that say how a scan went and are nothing that was found."""


class TextScans(Protocol):
    """Scans of a text at a point; the same text gives the same findings."""

    def findings(self, text: str, point: str) -> tuple[Finding, ...]:
        """Everything that the scanners for this point find."""


class Replaced(NamedTuple):
    """A text with findings replaced; `unplaced` are kinds that should have been and have no place in it."""

    text: str
    kinds: tuple[str, ...]
    unplaced: tuple[str, ...]


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    """Findings by kind, and by scanner, which stands for all of its kinds, under the names that conditions use."""
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.kind] += 1
        if finding.kind not in (NOT_SCANNED, NOT_DECODED) and finding.scanner != finding.kind:
            counts[finding.scanner] += 1
    return dict(counts)


def unscanned(findings: Iterable[Finding]) -> bool:
    """Whether a scanner did not finish."""
    return any(finding.kind == NOT_SCANNED for finding in findings)


def wanted_by(obligations: Iterable[Obligation]) -> frozenset[str]:
    """The kinds (or scanners, or `*`) that obligations to redact name."""
    return frozenset(kind for o in obligations if isinstance(o, Redact) for kind in o.kinds)


def is_wanted(kind: str, scanner: str, wanted: frozenset[str]) -> bool:
    """Whether a finding is among those that are redacted."""
    return "*" in wanted or kind in wanted or scanner in wanted


def replaced(text: str, findings: Sequence[Finding], wanted: frozenset[str], masked: Callable[[str], str]) -> Replaced:
    """The text with every wanted finding replaced by its mask; overlapping ones become one, of the first one's kind."""
    chosen = [f for f in findings if is_wanted(f.kind, f.scanner, wanted) and f.kind not in NO_FINDINGS]
    unplaced = tuple(sorted({f.kind for f in chosen if f.span is None}))
    spans = sorted((f.span[0], f.span[1], f.kind) for f in chosen if f.span is not None)
    out, at, kinds = [], 0, []
    for start, end, kind in spans:
        if start >= at:
            out += [text[at:start], masked(kind)]
            kinds.append(kind)
        at = max(at, end)
    return Replaced("".join((*out, text[at:])), tuple(dict.fromkeys(kinds)), unplaced)
