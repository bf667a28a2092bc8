"""Answers that are broken as text: empty, too short, one character held down, or a loop."""

import re
from collections import Counter

from backstay.records import Finding

SCANNER = "degenerate"
MIN_LETTERS = 2
"""An answer with fewer letters says nothing, unless it is a number; "no" has two."""

RUN_LENGTH = 24
"""Equal characters in a row that no prose has; rules made of dashes and the like are left alone."""

LOOP_COVERAGE = 0.5
"""Share of the words that the loop's repetitions must make up."""

LOOP_REPEATS = 4
"""How often a phrase must follow itself to be a loop."""

MAX_PERIOD = 40
"""Longest phrase, in words, that is tried as the period of a loop."""

NGRAM = 4
NGRAM_WORDS = 40
NGRAM_SHARE = 0.6
"""Share of 4-grams that repeat earlier ones, from 40 words on; refrains of songs stay below it."""

_RUN = re.compile(r"([^\W_])\1{" + str(RUN_LENGTH - 1) + ",}")
_WORD = re.compile(r"\w+", re.UNICODE)


def scan_degenerate(text: str) -> tuple[Finding, ...]:
    """Findings of kind `empty`, `too_short`, `repeated_character`, `loop`, `repetitive`; linear in the text."""
    if not text.strip():
        return (_finding("empty", "high", None, "no text"),)
    words = [match.group().lower() for match in _WORD.finditer(text)]
    found = []
    letters = sum(len(word) for word in words)
    if letters < MIN_LETTERS and not any(word.isnumeric() for word in words):
        found.append(_finding("too_short", "medium", (0, len(text)), f"{letters} letters"))
    run = _RUN.search(text)
    if run:
        found.append(_finding("repeated_character", "high", run.span(), f"{len(run.group())} times {run.group(1)!r}"))
    period, covered = longest_loop(words)
    if period and covered >= LOOP_COVERAGE * len(words):
        found.append(_finding("loop", "high", None, f"{period} words repeat over {covered} of {len(words)}"))
    elif repeated_share(words, NGRAM) > NGRAM_SHARE and len(words) >= NGRAM_WORDS:
        found.append(_finding("repetitive", "medium", None, f"{repeated_share(words, NGRAM):.0%} of 4-grams repeat"))
    return tuple(found)


def longest_loop(words: list[str]) -> tuple[int, int]:
    """Period and length in words of the longest stretch that repeats itself at least four times; (0, 0) if none."""
    best = (0, 0)
    for period in range(1, min(MAX_PERIOD, len(words) // LOOP_REPEATS) + 1):
        equal = 0
        for place in range(period, len(words)):
            equal = equal + 1 if words[place] == words[place - period] else 0
            if equal >= (LOOP_REPEATS - 1) * period and equal + period > best[1]:
                best = (period, equal + period)
    return best


def repeated_share(words: list[str], n: int) -> float:
    """Share of n-grams that occurred before in the text; 0 when there is none."""
    grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    total = grams.total()
    return 1.0 - len(grams) / total if total else 0.0


def _finding(kind: str, severity: str, span: tuple[int, int] | None, evidence: str) -> Finding:
    return Finding.model_validate(
        {"scanner": SCANNER, "kind": kind, "severity": severity, "span": span, "evidence": evidence}
    )
