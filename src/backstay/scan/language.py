"""In which language a text is: by its script, and for Latin letters and Cyrillic by small words; often not at all.

Short texts, code, names and mixtures have no language here: the answer is None, and that is said.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from backstay.records import Finding
from backstay.scan.form import scripts
from backstay.scan.scanner import NO_LIMIT, Budget, CostClass, Point
from backstay.scan.view import View

SCANNER = "language"
READ = 4_000
"""Characters that are looked at."""

MIN_LETTERS = 20
MIN_HITS = 3
"""Small words of a language that must occur before it is named."""

MIN_SHARE = 0.12
"""Share of the words that must be small words of the language."""

LEAD = 1.3
"""How many times as many as of the next language."""

SCRIPT_SHARE = 0.6
_BY_SCRIPT = {
    "GREEK": "el", "HEBREW": "he", "HANGUL": "ko", "THAI": "th", "GEORGIAN": "ka", "ARMENIAN": "hy", "TAMIL": "ta",
    "TELUGU": "te", "BENGALI": "bn", "DEVANAGARI": "hi",
}  # fmt: skip
_CYRILLIC = frozenset(("ru", "uk", "bg"))


@cache
def small_words() -> dict[str, frozenset[str]]:
    """Small words by language; a line of small_words.txt is a code (ISO 639-1) and its words."""
    lines = files("backstay.scan").joinpath("small_words.txt").read_text("utf-8").splitlines()
    return {line[:2]: frozenset(line[3:].split()) for line in lines}


def languages() -> tuple[str, ...]:
    """Codes (ISO 639-1) that `language_of` may give, sorted."""
    return tuple(sorted({*small_words(), *_BY_SCRIPT.values(), "ja", "zh", "ar", "fa"}))


class Guess(NamedTuple):
    """A language, or None where it cannot be told, and why."""

    code: str | None
    why: str


def language_of(text: str) -> Guess:  # noqa: PLR0911 - one answer a kind of script
    """The language of a text; linear, at most the first 4,000 characters."""
    head = text[:READ]
    counts = scripts(head)
    if counts.total() < MIN_LETTERS // (4 if counts["CJK"] or counts["HANGUL"] else 1):
        return Guess(None, "too few letters")
    script, count = counts.most_common(1)[0]
    if count < SCRIPT_SHARE * counts.total():
        return Guess(None, "scripts are mixed")
    if script == "CJK":
        kana = sum("\u3040" <= char <= "\u30ff" for char in head)
        return Guess("ja" if kana > 0.05 * count else "zh", "by its script")
    if script == "ARABIC":
        return Guess("fa" if sum(char in "پچژگ" for char in head) > 0.01 * count else "ar", "by its letters")
    if script in _BY_SCRIPT:
        return Guess(_BY_SCRIPT[script], "by its script")
    if script in ("LATIN", "CYRILLIC"):
        return _by_words(head, [code for code in small_words() if (code in _CYRILLIC) == (script == "CYRILLIC")])
    return Guess(None, f"{script.lower()} is not known here")


def _by_words(text: str, codes: Iterable[str]) -> Guess:
    words = [word.strip(".,;:!?\"'()[]«»„“”…*_`¿¡") for word in text.lower().split()]
    counts = Counter(words)
    hits = Counter({code: sum(counts[word] for word in small_words()[code]) for code in codes})
    (first, most), (_, next_most) = hits.most_common(2)
    if most < MIN_HITS or most < MIN_SHARE * len(words):
        return Guess(None, "no small words of a known language")
    if most < LEAD * next_most:
        return Guess(None, "several languages fit")
    return Guess(first, f"{most} small words")


@dataclass(frozen=True)
class LanguageScanner:
    """Finds texts in other languages than those allowed: `other_language`, or in none that is known."""

    allowed: frozenset[str] = frozenset({"en"})
    deadline_ms: float = 20.0

    name: str = SCANNER
    cost_class: CostClass = "micro"
    points: frozenset[Point] = frozenset({"request.input", "response.final"})
    max_match_length: int | None = None

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:  # noqa: ARG002 - it reads little
        """At most one finding; none for a text with too few letters to tell."""
        guess = language_of(view.original)
        if guess.code in self.allowed or guess.why == "too few letters":
            return ()
        known = guess.code is not None
        evidence = f"{guess.code}, {guess.why}" if known else guess.why
        kind = "other_language" if known else "unknown_language"
        return (Finding(scanner=self.name, kind=kind, severity="low" if known else "info", evidence=evidence),)
