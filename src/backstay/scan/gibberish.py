"""Text that is no language: words that nobody could say, and long stretches of random characters.

Words are judged by their letters alone (pairs of letters that European languages do not have, runs of consonants, no
vowel), so a language of its own making passes, and so does nonsense made of real words.
"""

from dataclasses import dataclass
from itertools import pairwise

from backstay.records import Finding
from backstay.scan.checks import entropy_bits
from backstay.scan.scanner import NO_LIMIT, Budget, CostClass, Point
from backstay.scan.view import View

SCANNER = "gibberish"
READ = 8_000
"""Characters of a text that are looked at: the first and the last half of them."""

MIN_WORDS = 6
UNLIKELY_SHARE = 0.4
"""Share of unlikely words, of all of four letters or more, from which on a text is gibberish."""

LONG = 40
"""Characters without a space from which on a stretch may be random data."""

RANDOM_BITS = 4.2
"""Entropy per character from which on a long stretch counts as random; English words have about 3.8 at that length."""

RANDOM_SHARE = 0.5
"""Share of a text's characters in such stretches from which on it is gibberish."""

_VOWELS = frozenset("aeiouy")
_AFTER = {
    "b": "qxzfgk", "c": "vxjfgb", "d": "xqkz", "f": "qxzvjkb", "g": "xqjvzc", "h": "xzqjvgk",
    "j": "bcdfghklmnpqrstvwxyz",
    "k": "qxzjcv", "l": "xqj", "m": "xqjzkg", "n": "", "p": "qxzvjg", "q": "abcdefghijklmnoprstvwxyz", "r": "xq",
    "s": "xqj", "t": "xqj", "v": "qxwjbcfghkmpt", "w": "qxzvjg", "x": "jkzrndvgq", "y": "qj", "z": "qxjrfgp",
}  # fmt: skip
_NEVER = frozenset(first + second for first, seconds in _AFTER.items() for second in seconds)


def unlikely_word(word: str) -> bool:
    """Whether no European language in Latin letters would have this lower-case word."""
    letters = frozenset(word)
    if not letters & _VOWELS:
        return True
    run = longest = 0
    for char in word:
        run = 0 if char in _VOWELS else run + 1
        longest = max(longest, run)
    return longest >= 9 or any(first + second in _NEVER for first, second in pairwise(word))


def unlikely_share(text: str) -> tuple[float, int]:
    """Share of unlikely words, and the number of words of 4 to 40 ASCII letters that were judged."""
    words = [word.strip(".,;:!?\"'()[]*_-") for word in text.split()]
    judged = [word.lower() for word in words if 4 <= len(word) <= LONG and word.isascii() and word.isalpha()]
    return sum(map(unlikely_word, judged)) / max(len(judged), 1), len(judged)


def random_share(text: str) -> float:
    """Share of the characters that stand in long stretches of high entropy."""
    stretches = [part for part in text.split() if len(part) >= LONG]
    random = sum(len(part) for part in stretches if entropy_bits(part.encode("utf-8", "replace")) >= RANDOM_BITS)
    return random / max(len(text), 1)


@dataclass(frozen=True)
class GibberishScanner:
    """Finds texts of unlikely words (`unlikely_words`) and of random data (`random_data`); Latin letters only."""

    deadline_ms: float = 20.0

    name: str = SCANNER
    cost_class: CostClass = "micro"
    points: frozenset[Point] = frozenset({"request.input", "response.final", "feedback"})
    max_match_length: int | None = None

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:  # noqa: ARG002 - it reads little
        """At most one finding of each kind, over the whole text."""
        text = view.text if len(view.text) <= READ else f"{view.text[: READ // 2]} {view.text[-READ // 2 :]}"
        share, judged = unlikely_share(text)
        found = []
        if judged >= MIN_WORDS and share >= UNLIKELY_SHARE:
            said = f"{share:.0%} of {judged} words"
            found.append(Finding(scanner=self.name, kind="unlikely_words", severity="low", evidence=said))
        if random_share(text) >= RANDOM_SHARE:
            said = f"{random_share(text):.0%} of the characters"
            found.append(Finding(scanner=self.name, kind="random_data", severity="low", evidence=said))
        return tuple(found)
