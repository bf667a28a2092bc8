"""Whether an answer refuses, as a finding."""

from backstay.feedback.refusal import complies_anyway, is_refusal
from backstay.records import Finding

SCANNER = "refusal"


def refuses(text: str) -> bool:
    """True when the answer refuses and does not comply after all."""
    return is_refusal(text) and not complies_anyway(text)


def scan_refusal(text: str) -> tuple[Finding, ...]:
    """At most one finding, of kind `refusal` or `refusal_then_compliance`. Lexical and English."""
    if not is_refusal(text):
        return ()
    kind = "refusal_then_compliance" if complies_anyway(text) else "refusal"
    return (Finding(scanner=SCANNER, kind=kind, severity="info"),)
