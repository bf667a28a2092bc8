"""Pairs whose preferred answer is broken as text."""

from backstay.records import Finding
from backstay.scan import scan_degenerate


def degenerate_choice(chosen: str | None) -> tuple[Finding, ...]:
    """Findings of the preferred answer; none where no side is preferred."""
    return () if chosen is None else scan_degenerate(chosen)
