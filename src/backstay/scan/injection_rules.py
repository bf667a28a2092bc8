"""Rules beside the injection classifier: chat-template markers, headings that play a turn, phrases that set aside."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from backstay.errors import UsageError
from backstay.scan.engine import compile_re2, literal_automaton
from backstay.scan.rule import Severity

AROUND = 200
"""Characters after a gate in which its phrase must stand."""

MAX_HITS = 64
"""Markers, and tries of phrases, per text; the first ones count. One is enough to be found."""


class RuleHit(NamedTuple):
    """A rule's match in a view."""

    kind: str
    name: str
    severity: Severity
    start: int
    end: int


@dataclass(frozen=True)
class _Phrase:
    name: str
    pattern: Any


class InjectionRules:
    """The rules of a rule file, compiled."""

    def __init__(self, text: str) -> None:
        data = yaml.safe_load(text)
        if not isinstance(data, dict) or set(data) != {"markers", "headings", "phrases"}:
            raise UsageError("a file of injection rules has the keys markers, headings and phrases, and no others")
        self._markers = [(str(m["literal"]).encode("ascii").lower(), m["severity"]) for m in data["markers"]]
        self._headings = tuple(str(heading).encode("ascii").lower() for heading in data["headings"])
        self._phrases = [_Phrase(p["name"], compile_re2(p["pattern"].encode("ascii"))) for p in data["phrases"]]
        gates = [(str(gate).encode("ascii"), place) for place, p in enumerate(data["phrases"]) for gate in p["gates"]]
        self._gates = gates
        self._find_markers = literal_automaton([literal for literal, _ in self._markers])
        self._find_gates = literal_automaton([gate for gate, _ in gates])

    def markers(self, folded: bytes) -> Iterator[RuleHit]:
        """Chat-template markers in a lower-case text."""
        found = self._find_markers.find_matches_as_indexes(folded, overlapping=True)
        for place, start, end in found[:MAX_HITS]:
            yield RuleHit("role_markers", "template", self._markers[place][1], start, end)

    def headings(self, folded: bytes) -> Iterator[RuleHit]:
        """Lines that begin as a turn of a dialogue."""
        at, count = 0, 0
        for line in folded.splitlines(keepends=True):
            head = line.lstrip(b" \t>*#|-")[:20] if not line.startswith(b"###") else line[:20]
            if head.startswith(self._headings) and count < MAX_HITS:
                count += 1
                yield RuleHit("role_markers", "heading", "low", at, at + max(len(line.rstrip()), 1))
            at += len(line)

    def phrases(self, folded: bytes) -> Iterator[RuleHit]:
        """Sentences that set aside what was said before; of each phrase the first one."""
        seen: set[int] = set()
        tries = 0
        for gate, start, _ in self._find_gates.find_matches_as_indexes(folded, overlapping=True):
            place = self._gates[gate][1]
            if place in seen or tries >= MAX_HITS:
                continue
            tries += 1
            match = self._phrases[place].pattern.match(folded[start : start + AROUND])
            if match is not None:
                seen.add(place)
                yield RuleHit("phrase", self._phrases[place].name, "high", start, start + match.end())


@cache
def injection_rules() -> InjectionRules:
    """The shipped rules."""
    return InjectionRules(files("backstay.scan").joinpath("injection_rules.yaml").read_text("utf-8"))
