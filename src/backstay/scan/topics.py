"""Topics that an operator names by phrases: found as words in a row, whatever stands between the words.

Words are no intent: a text about a topic is found as well as one that asks for it.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from backstay.errors import UsageError
from backstay.records import Finding
from backstay.scan.engine import literal_automaton
from backstay.scan.rule import Severity
from backstay.scan.scanner import NO_LIMIT, Budget, CostClass, Point
from backstay.scan.view import View

SCANNER = "topics"
_KEPT = (string.ascii_lowercase + string.digits).encode()
_BETWEEN = bytes(code if code in _KEPT else 32 for code in range(256))


@dataclass(frozen=True)
class TopicScanner:
    """Finds the phrases of each topic; the topic is the kind of the finding."""

    topics: Mapping[str, Sequence[str]]
    severity: Severity = "medium"
    deadline_ms: float = 20.0

    name: str = SCANNER
    cost_class: CostClass = "micro"
    points: frozenset[Point] = frozenset({"request.input", "response.final", "tool.result", "feedback"})
    max_match_length: int | None = None
    _phrases: list[tuple[bytes, str, str]] = field(init=False, default_factory=list, repr=False)

    def __post_init__(self) -> None:
        for topic, phrases in self.topics.items():
            for phrase in phrases:
                words = View.of(phrase).folded.translate(_BETWEEN).split()
                if not words or not phrase.strip() or b"?" in View.of(phrase).matched:
                    raise UsageError(f"topic {topic}: phrase {phrase!r} has no words in Latin letters or digits")
                self._phrases.append((b" " + b" ".join(words) + b" ", topic, phrase))
        if not self._phrases:
            raise UsageError("no topic has a phrase", cure="name at least one, or leave the scanner out")

    @cached_property
    def _automaton(self) -> Any:
        return literal_automaton([words for words, _, _ in self._phrases])

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:  # noqa: ARG002 - microseconds
        """One finding for each place of a phrase, in order of place."""
        raw = np.frombuffer(b" " + view.folded.translate(_BETWEEN) + b" ", np.uint8)
        kept = np.ones(len(raw), bool)
        kept[1:] = (raw[1:] != 32) | (raw[:-1] != 32)
        places = np.flatnonzero(kept)
        found = []
        for index, start, end in self._automaton.find_matches_as_indexes(raw[kept].tobytes(), overlapping=True):
            span = view.span(int(places[start + 1]) - 1, int(places[end - 2]))
            _, topic, phrase = self._phrases[index]
            found.append(Finding(scanner=self.name, kind=topic, severity=self.severity, span=span, evidence=phrase))
        return tuple(sorted(found, key=lambda one: (one.span or (0, 0), one.kind)))
