"""Topic terms: which of an operator's phrases a text holds. The terms come from a baseline file, not from here."""

import re
from collections.abc import Sequence

from backstay.records import Finding
from backstay.scan.patterns import first_match, plain_words

SCANNER = "harm"


def scan_terms(text: str, terms: Sequence[re.Pattern[str]], *, topic: str) -> tuple[Finding, ...]:
    """At most one finding, of kind `topic`, with the words that matched.

    Words are no intent: a match is a reason to look, and decides nothing without the answers beside it.
    """
    hit = first_match(terms, plain_words(text))
    if hit is None:
        return ()
    return (Finding(scanner=SCANNER, kind=topic, severity="medium", evidence=hit[:200]),)
