"""Personal data and secrets of a few kinds that can be recognised exactly. Evidence is masked."""

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from backstay.records import Finding

SCANNER = "personal"
MAX_CHARACTERS = 200_000
"""Text beyond it is not looked at; a finding of kind `not_scanned` says so."""

Severity = Literal["info", "low", "medium", "high", "critical"]
_RESERVED_DOMAIN = re.compile(r"(?:^|[@.])(?:example\.(?:com|net|org)|[\w-]+\.(?:example|test|invalid|localhost))$")
_CARD_PREFIX = re.compile(r"(?:4|5[0-8]|2[2-7]|3(?:0[0-5]|[4-8])|6(?:011|[2457])|1800|2131)")


class _Kind(NamedTuple):
    name: str
    severity: Severity
    pattern: re.Pattern[str]
    is_real: Callable[[str], bool]


def luhn_holds(digits: str) -> bool:
    """True when the check digit of a card number fits (ISO/IEC 7812-1, annex B)."""
    doubled = [int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def _is_card(text: str) -> bool:
    digits = _digits(text)
    return _CARD_PREFIX.match(digits) is not None and luhn_holds(digits)


def _is_phone(text: str) -> bool:
    """Nine to fifteen digits without an extension; numbers in the 555-01xx block are kept for fiction."""
    digits = _digits(text.partition("x")[0])
    return 9 <= len(digits) <= 15 and "55501" not in digits and len(set(digits)) > 2


def _is_mail(text: str) -> bool:
    return _RESERVED_DOMAIN.search(text.lower()) is None


def _always(_: str) -> bool:
    return True


_KINDS = (
    _Kind(
        "private_key",
        "critical",
        re.compile(r"-----BEGIN (?:[A-Z]{1,12} ){0,2}PRIVATE KEY-----"),
        _always,
    ),
    _Kind(
        "secret",
        "critical",
        re.compile(
            r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_\w{50,255}"
            r"|xox[abprs]-[A-Za-z0-9-]{10,250}|sk_live_[A-Za-z0-9]{16,250}|AIza[A-Za-z0-9_-]{35}"
            r"|glpat-[A-Za-z0-9_-]{20}|npm_[A-Za-z0-9]{36})(?![A-Za-z0-9])"
        ),
        _always,
    ),
    _Kind("card_number", "high", re.compile(r"(?<![\d.-])\d(?:[ -]?\d){11,18}(?![\d-]|\.\d)"), _is_card),
    _Kind(
        "email",
        "medium",
        re.compile(
            r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,4}\.[A-Za-z]{2,24}\b"
        ),
        _is_mail,
    ),
    _Kind(
        "phone",
        "medium",
        re.compile(
            r"(?<![\w.+-])(?:(?:\+|00)\d{1,3}(?:[ .-]?(?:\(0\))?\d{2,4}){2,5}"
            r"|0\d{1,4}(?P<gap>[ .-])\d{2,4}(?:(?P=gap)\d{2,4}){1,3}"
            r"|(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\) ?|\d{3}[ .-])\d{3,4}[ .-]\d{3,4}(?:x\d{1,5})?)(?![\w-]|\.\d)"
        ),
        _is_phone,
    ),
)

PERSONAL_KINDS = tuple(kind.name for kind in _KINDS)


def scan_personal(text: str) -> tuple[Finding, ...]:
    """Findings of kind `private_key`, `secret`, `card_number`, `email`, `phone`, in order of place.

    A stretch of text gives one finding, of the first kind that fits. Mail at reserved domains (RFC 2606) and phone
    numbers reserved for fiction are no findings.
    """
    found: list[Finding] = []
    taken: list[tuple[int, int]] = []
    for kind in _KINDS:
        for start, end in _matches(kind, text[:MAX_CHARACTERS]):
            if all(end <= low or start >= high for low, high in taken):
                taken.append((start, end))
                found.append(_finding(kind.name, kind.severity, (start, end), mask(text[start:end])))
    if len(text) > MAX_CHARACTERS:
        found.append(_finding("not_scanned", "low", (MAX_CHARACTERS, len(text)), "text is too long"))
    return tuple(sorted(found, key=lambda finding: finding.span or (0, 0)))


def mask(text: str) -> str:
    """The first two characters and the length: enough to find the place, too little to use."""
    return f"{text[:2]}… ({len(text)} characters)"


def _matches(kind: _Kind, text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in kind.pattern.finditer(text) if kind.is_real(match.group()))


def _finding(kind: str, severity: Severity, span: tuple[int, int], evidence: str) -> Finding:
    return Finding(scanner=SCANNER, kind=kind, severity=severity, span=span, evidence=evidence)
