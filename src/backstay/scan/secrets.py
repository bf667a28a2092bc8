"""Secrets of known shapes: keys, tokens, passwords in URLs and assignments. The rules stand in secrets.yaml."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from backstay.records import Finding
from backstay.scan.rule import Rule
from backstay.scan.rule_file import rule_of
from backstay.scan.rule_pack import Match, RulePack
from backstay.scan.scanner import NO_LIMIT, NOT_DECODED, NOT_SCANNED, Budget, CostClass, Evidence, Point
from backstay.scan.view import View

SCANNER = "secrets"


def _assignments(section: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for word in section["keywords"]:
        yield {
            "kind": section["kind"],
            "gate": word,
            "head": word + section["head"],
            "shape": section["shape"],
            "judge": section["judge"],
            "ignore_case": True,
            "word_start": False,
        }


def parse_rules(text: str) -> tuple[Rule, ...]:
    """The rules of a rule file; raises UsageError."""
    data = yaml.safe_load(text)
    return tuple(rule_of(entry) for entry in (*data["rules"], *_assignments(data["assignments"])))


@cache
def secret_rules() -> tuple[Rule, ...]:
    """The shipped rules."""
    return parse_rules(files("backstay.scan").joinpath("secrets.yaml").read_text("utf-8"))


@cache
def secret_pack() -> RulePack:
    """The shipped rules, compiled together."""
    return RulePack(secret_rules())


@dataclass(frozen=True)
class SecretScanner:
    """Finds secrets in the view of a text and in what is decoded from it."""

    pack: RulePack = field(default_factory=secret_pack)
    evidence: Evidence = field(default_factory=Evidence)
    deadline_ms: float = 50.0

    name: str = SCANNER
    cost_class: CostClass = "micro"
    points: frozenset[Point] = frozenset(
        {"request.input", "model.output", "model.tool_call", "tool.result", "response.final", "feedback"}
    )

    @property
    def max_match_length(self) -> int | None:
        """None: private keys and open-ended tokens have no greatest length; each begins with a literal."""
        rules = self.pack.rules
        return max(rule.max_length for rule in rules) if all(rule.bounded for rule in rules) else None

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:
        """Findings in order of place; those in decoded parts span the whole encoded stretch."""
        found, decoded = list(self._in_view(view, budget)), view.decoded(budget.deadline)
        for part in decoded.parts:
            found.extend(f.model_copy(update={"span": part.span}) for f in self._in_view(part.view, budget))
        if not decoded.complete and not budget.spent:
            found.append(Finding(scanner=self.name, kind=NOT_DECODED, severity="info", evidence="too much is encoded"))
        if budget.spent:
            found.append(Finding(scanner=self.name, kind=NOT_SCANNED, severity="high", evidence="the deadline passed"))
        once = {(f.span, f.kind, f.severity, f.evidence): f for f in found}
        return tuple(sorted(once.values(), key=lambda finding: finding.span or (len(view.original), 0)))

    def _in_view(self, view: View, budget: Budget) -> Iterator[Finding]:
        return (self._finding(view, match) for match in self.pack.matches(view.matched, budget.deadline, view.altered))

    def _finding(self, view: View, match: Match) -> Finding:
        span = view.span(match.start, match.end)
        said = self.evidence.of(view.original[span[0] : span[1]])
        return Finding(scanner=self.name, kind=match.rule.kind, severity=match.severity, span=span, evidence=said)


def scan_secrets(text: str, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:
    """Findings of all shipped kinds in a text, with spans in it."""
    return SecretScanner().scan(View.of(text), budget)


def secret_kinds(rules: Iterable[Rule] | None = None) -> tuple[str, ...]:
    """The kinds of the shipped rules, or of these, sorted."""
    return tuple(sorted({rule.kind for rule in (secret_rules() if rules is None else rules)}))
