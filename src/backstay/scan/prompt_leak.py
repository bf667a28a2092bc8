"""How much of a system prompt stands in an answer: the share of its runs of five words."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from backstay.errors import UsageError
from backstay.records import Finding
from backstay.scan.scanner import NO_LIMIT, NOT_SCANNED, Budget, CostClass, Point
from backstay.scan.view import View

SCANNER = "prompt_leak"
KIND = "prompt_leak"
SHINGLE = 5
MUCH = 0.5
"""Share from which on a leak is critical."""
_CJK = 0x2E80
_ASCII_WORDS = bytes(c if chr(c).isalnum() else 32 for c in range(128)) + b" " * 128


def _spelled(text: str) -> str:
    """Words with single spaces between them, each character of eastern scripts a word; as long as twice the text."""
    low = text.lower()
    if low.isascii():
        return low.encode().translate(_ASCII_WORDS).decode()
    return "".join((f" {c} " if ord(c) >= _CJK else c) if c.isalnum() else " " for c in low)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    return _spelled(text).split()


def shingles(words: list[str], size: int) -> Iterator[tuple[str, ...]]:
    """Every run of so many words."""
    return zip(*(words[i:] for i in range(size)), strict=False)


@dataclass(frozen=True)
class LeakScanner:
    """Finds an answer that holds at least `threshold` of the prompt's runs of five words.

    `public` are texts whose runs do not count: what the user wrote, what anybody may know.
    """

    prompt: str = field(repr=False)
    threshold: float = 0.15
    public: tuple[str, ...] = field(default=(), repr=False)
    deadline_ms: float = 50.0

    name: str = SCANNER
    cost_class: CostClass = "micro"
    points: frozenset[Point] = frozenset({"model.output", "model.tool_call", "response.final"})
    max_match_length: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise UsageError(f"a share of a prompt cannot be {self.threshold}", cure="use a number above 0, at most 1")

    @cached_property
    def _size(self) -> int:
        return max(1, min(SHINGLE, len(words_of(View.of(self.prompt).text))))

    @cached_property
    def _secret(self) -> frozenset[tuple[str, ...]]:
        known = {run for text in self.public for run in shingles(words_of(View.of(text).text), self._size)}
        return frozenset(shingles(words_of(View.of(self.prompt).text), self._size)) - known

    def share(self, view: View) -> float:
        """The share of the prompt's runs of words that stand in a text and in what is decoded from it."""
        return self._share(view, [part.view for part in view.parts])

    def _share(self, view: View, others: list[View]) -> float:
        if not self._secret:
            return 0.0
        texts = (view.text, *(other.text for other in others))
        seen = {run for text in texts for run in shingles(words_of(text), self._size)}
        return len(seen & self._secret) / len(self._secret)

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:
        """One finding of kind `prompt_leak`, or none; it has no span where the leak is in decoded text only."""
        share = self._share(view, [part.view for part in view.decoded(budget.deadline).parts])
        found = []
        if share >= self.threshold:
            severity = "critical" if share >= MUCH else "high"
            said = f"{share:.0%} of the prompt's runs of {self._size} words"
            found.append(Finding(scanner=self.name, kind=KIND, severity=severity, span=self._span(view), evidence=said))
        if budget.spent:
            found.append(Finding(scanner=self.name, kind=NOT_SCANNED, severity="high", evidence="the deadline passed"))
        return tuple(found)

    def _span(self, view: View) -> tuple[int, int] | None:
        """From the first word that is leaked to the last."""
        places = list(_places(view.text))
        runs = enumerate(shingles([view.text[low:high].lower() for low, high in places], self._size))
        hits = [number for number, run in runs if run in self._secret]
        return view.span(places[hits[0]][0], places[hits[-1] + self._size - 1][1]) if hits else None


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Where the words of a text stand."""
    start = -1
    for place, char in enumerate(text):
        if start >= 0 and (not char.isalnum() or ord(char) >= _CJK):
            yield start, place
            start = -1
        if char.isalnum() and ord(char) >= _CJK:
            yield place, place + 1
        elif char.isalnum() and start < 0:
            start = place
    if start >= 0:
        yield start, len(text)
