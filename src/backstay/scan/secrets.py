"""Secrets of known shapes: keys, tokens, passwords in URLs and assignments. The rules stand in secrets.yaml."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from backstay.errors import UsageError
from backstay.records import Finding
from backstay.scan.checks import JUDGES
from backstay.scan.rule import Item, Rule, parse_shape
from backstay.scan.rule_pack import Match, RulePack
from backstay.scan.scanner import NO_LIMIT, NOT_DECODED, NOT_SCANNED, Budget, CostClass, Evidence, Point
from backstay.scan.view import View

SCANNER = "secrets"
_KEYS = frozenset(
    ("kind", "gate", "shape", "head", "severity", "judge", "ignore_case", "word_start", "close", "cap", "cut")
)


def _is_one(item: Item, code: int) -> bool:
    both = frozenset((*bytes([code]).lower(), *bytes([code]).upper()))
    return (item.low, item.high) == (1, 1) and item.chars in (frozenset({code}), both)


def _gate_at(items: tuple[Item, ...], gate: bytes, kind: str) -> int:
    """The number of items before the gate; raises UsageError where the shape does not hold it."""
    for place in range(len(items) - len(gate) + 1):
        if all(_is_one(item, code) for item, code in zip(items[place:], gate, strict=False)):
            return place
    raise UsageError(f"rule {kind}: its shape does not hold the gate {gate.decode()!r} as it stands")


def rule_of(entry: Mapping[str, Any]) -> Rule:
    """The rule that an entry of a rule file describes; raises UsageError."""
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise UsageError(f"a rule has the unknown keys {unknown}", cure=f"known are {sorted(_KEYS)}")
    fold = bool(entry.get("ignore_case", False))
    head = parse_shape(entry.get("head", ""), ignore_case=fold)
    items = (*head, *parse_shape(entry["shape"], ignore_case=fold))
    gate, judge = str(entry["gate"]).encode("ascii"), entry.get("judge")
    if judge is not None and judge not in JUDGES:
        raise UsageError(f"rule {entry['kind']}: no check is called {judge!r}", cure=f"known are {sorted(JUDGES)}")
    given = {key: entry[key] for key in ("severity", "word_start", "cap", "cut") if key in entry}
    return Rule(
        kind=entry["kind"],
        gate=gate,
        items=items,
        ignore_case=fold,
        before=_gate_at(items, gate, entry["kind"]),
        value_at=len(head),
        close=str(entry.get("close", "")).encode("ascii"),
        judge=JUDGES[judge] if judge else None,
        **given,
    )


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
        return tuple(sorted(dict.fromkeys(found), key=lambda finding: finding.span or (len(view.original), 0)))

    def _in_view(self, view: View, budget: Budget) -> Iterator[Finding]:
        return (self._finding(view, match) for match in self.pack.matches(view.matched, budget.deadline))

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
