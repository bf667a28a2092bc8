"""Rules compiled together: one pass of two automata finds the places where any of them may match."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from backstay.errors import UsageError
from backstay.scan.engine import compile_re2, literal_automaton
from backstay.scan.rule import LOOK_BEHIND, Rule, Severity, trailing_starts
from backstay.scan.token_gate import TokenGate

Altered = Callable[[int, int], bool]
"""Whether a stretch of the view is not what stands in the text itself."""

_MANY = 2
"""Rules from which on one regex for all of them is asked first."""

_STEP = 64
"""Candidates between two looks at the clock."""


class Candidate(NamedTuple):
    """A place from which a rule may match; candidates are ordered by place, then rule."""

    start: int
    rule: int


class Match(NamedTuple):
    """What of a text is to be redacted, and why.

    `complete` is False where it ran into the end of the text, `overrun` True where that is farther off than its cap.
    """

    start: int
    end: int
    rule: Rule
    severity: Severity
    complete: bool = True
    overrun: bool = False


class _Group:
    """Rules with the same gate; one regex tells whether a look at those that begin with it is worth while."""

    def __init__(self, rules: Sequence[tuple[int, Rule]]) -> None:
        self._all = [index for index, _ in rules]
        self._inner = [index for index, rule in rules if rule.before]
        self._first = [rule for _, rule in rules if not rule.before]

    @cached_property
    def _worth(self) -> Any:
        joined = b"|".join(rule.beginning for rule in self._first)
        return compile_re2(joined, ignore_case=self._first[0].ignore_case)

    def worth(self, text: bytes, gate_at: int) -> list[int]:
        """The rules that may match with their gate here."""
        if len(self._first) < _MANY or self._worth.match(text, gate_at) is not None:
            return self._all
        return self._inner


class _Gates:
    """Literals of one case, each with the rules that it opens."""

    def __init__(self, rules: Iterable[tuple[int, Rule]]) -> None:
        self.by_literal: dict[bytes, list[int]] = {}
        held = dict(rules)
        for index, rule in held.items():
            literal = rule.gate.lower() if rule.ignore_case else rule.gate
            self.by_literal.setdefault(literal, []).append(index)
        self.literals = list(self.by_literal)
        self.groups = [_Group([(i, held[i]) for i in indices]) for indices in self.by_literal.values()]
        self._automaton = literal_automaton(self.literals) if self.literals else None
        self.longest = max(map(len, self.literals), default=0)
        self.prefixes = frozenset(lit[:n] for lit in self.literals for n in range(1, len(lit)))

    def found(self, text: bytes, start: int) -> Iterator[tuple[int, int, "_Group"]]:
        if self._automaton is None:
            return
        piece = text[start:] if start else text
        for literal, low, high in self._automaton.find_matches_as_indexes(piece, overlapping=True):
            yield start + low, start + high, self.groups[literal]

    def partial(self, text: bytes) -> int:
        """Length of the longest end of the text that is the beginning of a literal."""
        for length in range(min(self.longest - 1, len(text)), 0, -1):
            if text[-length:] in self.prefixes:
                return length
        return 0


class RulePack:
    """Rules that are looked for together."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        if not self.rules:
            raise UsageError("a rule pack without rules finds nothing", cure="name at least one kind")
        numbered = list(enumerate(self.rules))
        self._exact = _Gates((i, rule) for i, rule in numbered if rule.gate and not rule.ignore_case)
        self._folded = _Gates((i, rule) for i, rule in numbered if rule.gate and rule.ignore_case)
        self._tokens = TokenGate((i, rule) for i, rule in numbered if not rule.gate)
        self._after = [rule.after_gate for rule in self.rules]
        self._with_head = tuple(rule for rule in self.rules if rule.before)
        heads = max((rule.run[2] + len(rule.gate) for rule in self._with_head), default=0)
        closes = max(len(rule.close) for rule in self.rules)
        behind = LOOK_BEHIND if any(rule.behind for rule in self.rules) else 0
        gates = max(self._exact.longest, self._folded.longest, self._tokens.lead)
        self.look_back = max(gates, heads, closes, behind) + 2
        """Characters before an unread one that may still matter to where a match begins."""

    def candidates(self, text: bytes, seen: int = 0) -> Iterator[Candidate]:
        """Places where a rule may match, for gates that end after `seen`; in no order."""
        start = max(0, seen - max(self._exact.longest, self._folded.longest))
        for gates, view in ((self._exact, text), (self._folded, text.lower())):
            for low, high, group in gates.found(view, start):
                if high <= seen:
                    continue
                for index in group.worth(text, low):
                    after = self._after[index]
                    if after is not None and high < len(text) and text[high] not in after:
                        continue
                    begins = self.rules[index].starts(text, low)
                    if begins is not None:
                        yield Candidate(begins, index)
        for begins, index in self._tokens.found(text, seen):
            yield Candidate(begins, index)

    def held_from(self, text: bytes) -> int:
        """From where on the end of the text may be the beginning of a match whose gate has not been seen."""
        held = len(text) - max(self._exact.partial(text), self._folded.partial(text[-self._folded.longest :].lower()))
        held = min(held, self._tokens.held_from(text))
        starts = (start for rule in self._with_head for start in trailing_starts(rule, text))
        return min(held, min(starts, default=held))

    def judged(self, text: bytes, candidate: Candidate, altered: Altered | None = None) -> Match | None:
        """What the candidate's rule says of the text, before it runs on; `altered` None: the text is its own view."""
        rule = self.rules[candidate.rule]
        span = rule.match(text, candidate.start) if rule.stands(text, candidate.start) else None
        if span is None:
            return None
        changed = rule.excuse is not None and altered is not None and altered(*span)
        severity = rule.severity_of(text[span[0] : span[1]], altered=changed)
        return None if severity is None else Match(span[0], span[1], rule, severity)

    def run_on(self, match: Match, text: bytes, start: int, opened: int) -> Match:
        """The match led on from `start` to where it ends; `opened` is where its bounded part ended.

        It is not complete where it may go on behind the text, or where it was not closed within its cap.
        """
        rule = match.rule
        if rule.close:
            limit = opened + rule.cap
            at = text.find(rule.close, max(0, opened, start - len(rule.close)), max(0, limit))
            if at >= 0:
                return match._replace(end=at + len(rule.close), complete=True)
            return match._replace(end=len(text), complete=False, overrun=len(text) >= limit)
        if rule.tail is None:
            return match
        end = rule.run_on.match(text, start).end()
        return match._replace(end=end, complete=end < len(text))

    def matches(self, text: bytes, deadline: float | None = None, altered: Altered | None = None) -> Iterator[Match]:
        """All matches of a whole text, by place of their start; one rule's matches in its own open run count once.

        Ends early where `deadline` (of `time.monotonic`) passes.
        """
        runs: dict[int, int] = {}
        for number, candidate in enumerate(sorted(set(self.candidates(text)))):
            if deadline is not None and number % _STEP == 0 and time.monotonic() > deadline:
                return
            if candidate.start < runs.get(candidate.rule, 0):
                continue
            match = self.judged(text, candidate, altered)
            if match is None:
                continue
            if not match.rule.bounded:
                match = self.run_on(match, text, match.end, match.end)
            if not match.rule.bounded:
                runs[candidate.rule] = match.end
            yield match
