"""Harm in requests: an operator's phrases for a topic, and the probability of a small classifier.

The phrases come from a baseline file, not from here; the classifier is described in docs/scan/classifiers.md.
"""

import re
from collections.abc import Sequence

from backstay.records import Finding
from backstay.scan.linear_text import shipped
from backstay.scan.patterns import first_match, plain_words

SCANNER = "harm"


def harm_probability(request: str) -> float:
    """Probability that a request asks for something harmful; 0 for a request without text. English.

    It is calibrated on as many harmful as harmless requests; among mostly harmless ones it is too high.
    """
    return shipped("harmful_request").score(request) if request.strip() else 0.0


def scan_terms(text: str, terms: Sequence[re.Pattern[str]], *, topic: str) -> tuple[Finding, ...]:
    """At most one finding, of kind `topic`, with the words that matched.

    Words are no intent: a match is a reason to look, and decides nothing without the answers beside it.
    """
    hit = first_match(terms, plain_words(text))
    if hit is None:
        return ()
    return (Finding(scanner=SCANNER, kind=topic, severity="medium", evidence=hit[:200]),)
