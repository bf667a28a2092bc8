"""Personal data of known shapes: addresses, telephones, cards, accounts, identity numbers. Rules: identifiers.yaml."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import yaml

from backstay.errors import UsageError
from backstay.records import Finding
from backstay.scan.rule import Rule
from backstay.scan.rule_file import labelled_rules, rule_of
from backstay.scan.rule_pack import RulePack
from backstay.scan.scanner import NO_LIMIT, Budget
from backstay.scan.secrets import SecretScanner
from backstay.scan.view import View

SCANNER = "identifiers"


@cache
def identifier_rules() -> tuple[Rule, ...]:
    """The shipped rules."""
    data = yaml.safe_load(files("backstay.scan").joinpath("identifiers.yaml").read_text("utf-8"))
    behind_labels = (rule for entry in data["labelled"] for rule in labelled_rules(entry))
    return (*(rule_of(entry) for entry in data["rules"]), *behind_labels)


def identifier_kinds() -> tuple[str, ...]:
    """The kinds of the shipped rules, sorted."""
    return tuple(sorted({rule.kind for rule in identifier_rules()}))


def rules_of_kinds(rules: Iterable[Rule], kinds: Collection[str] | None) -> tuple[Rule, ...]:
    """The rules of these kinds (None: all); raises UsageError for a kind that no rule has."""
    held = tuple(rules)
    if kinds is None:
        return held
    known = {rule.kind for rule in held}
    unknown = sorted(set(kinds) - known)
    if unknown:
        raise UsageError(f"no rule finds the kinds {unknown}", cure=f"known are {', '.join(sorted(known))}")
    return tuple(rule for rule in held if rule.kind in kinds)


@cache
def _all() -> RulePack:
    return RulePack(identifier_rules())


def identifier_pack(kinds: Collection[str] | None = None) -> RulePack:
    """The shipped rules, or those of some kinds, compiled together; raises UsageError for an unknown kind."""
    return _all() if kinds is None else RulePack(rules_of_kinds(identifier_rules(), kinds))


@dataclass(frozen=True)
class IdentifierScanner(SecretScanner):
    """Finds personal data in the view of a text and in what is decoded from it.

    Of findings within one another the longest counts; of equal ones the first kind of the rule file.
    """

    pack: RulePack = field(default_factory=_all)
    name: str = SCANNER

    def scan(self, view: View, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:
        """Findings in order of place; those in decoded parts span the whole encoded stretch."""
        return outermost(super().scan(view, budget))


def outermost(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings that lie in no other, in order of place, then those without a place."""
    placed = [(finding.span, finding) for finding in findings if finding.span is not None]
    kept: list[Finding] = []
    reached = -1
    for span, finding in sorted(placed, key=lambda pair: (pair[0][0], -pair[0][1])):
        if span[1] > reached:
            kept.append(finding)
            reached = span[1]
    return (*kept, *(finding for finding in findings if finding.span is None))


def scan_identifiers(text: str, budget: Budget = NO_LIMIT) -> tuple[Finding, ...]:
    """Findings of all shipped kinds in a text, with spans in it."""
    return IdentifierScanner().scan(View.of(text), budget)
