"""Whether an answer can be decided while it streams, and what is replaced in it then.

A condition that reads the text, or that counts findings otherwise than "is there any of this kind", has no answer
before the text is over. Where a rule for `model.output` or `response.final` has such a condition, the answer is held
until its end. Else what happens to each kind is known before the first character.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from backstay.guard.findings import counted, is_wanted, wanted_by
from backstay.guard.redaction import Redaction
from backstay.policy import Decision, Request, Rule
from backstay.policy.binding import keys_named
from backstay.records import Finding
from backstay.scan.rule_pack import RulePack

OUTPUT_POINTS = ("model.output", "response.final")
_SUM = re.compile(r"[-+*/%]")
_STRING = re.compile(r"""r?"(?:[^"\\]|\\.)*"|r?'(?:[^'\\]|\\.)*'""")
_FINDINGS = re.compile(r"\bfindings\b")
_TEXT = re.compile(r"(?<![.\w])text\b")
_ANY_OF = re.compile(r"""\bfindings(?:\.[A-Za-z_]\w*|\[(?:"[^"\\]*"|'[^'\\]*')\])\s*(?:>\s*0|>=\s*1|!=\s*0)(?![\w.])""")


class OutputPlan(NamedTuple):
    """`whole` says why the answer is held until its end; "" where it streams under `redaction`."""

    whole: str
    redaction: Redaction | None


class PackKinds(NamedTuple):
    """The rules that a stream is matched with, and the scanner that each kind belongs to."""

    pack: RulePack
    scanners: Mapping[str, str]
    partial: frozenset[str] = frozenset()
    """Scanners that find other kinds as well, for which the whole text is needed."""


def plan_output(
    rules: Iterable[Rule],
    request: Request,
    decide: Callable[[Request], Decision],
    kinds: PackKinds,
) -> OutputPlan:
    """The plan for one answer: `request` is the one for model.output with no text and no findings.

    What happens to a kind is decided by the policy itself, asked once for each kind that a condition names and once
    for any other.
    """
    given = tuple(rules)
    for rule in given:
        if why := _undecidable(rule, kinds):
            return OutputPlan(why, None)
    conditions = [rule.when or "" for rule in given]
    named = {kind for kind in keys_named(conditions, "findings") if kind != "not_scanned"}
    deny: set[str] = set()
    redact: set[str] = set()
    opened = decide(request)
    if opened.effect != "allow":
        return OutputPlan("policy does not allow an answer as such", None)
    wanted = _kinds_of(opened, kinds)
    for kind, scanner in kinds.scanners.items():
        if kind not in named and scanner not in named:
            redact |= {kind} & wanted
            continue
        found = decide(_with_finding(request, kind, scanner))
        if found.effect == "deny":
            deny.add(kind)
        elif found.effect == "hold":
            return OutputPlan(f"a finding of kind {kind} asks for an approval", None)
        else:
            redact |= {kind} & _kinds_of(found, kinds)
    return OutputPlan("", _redaction(kinds.pack, frozenset(deny), frozenset(redact | deny)))


def _undecidable(rule: Rule, kinds: PackKinds) -> str:
    """Why the rule has no answer before the end of a text, "" where it has."""
    if rule.effect == "hold":
        return f"rule {rule.id} may hold the answer for an approval"
    duties = [kind for kind in sorted(wanted_by(rule.obligations)) if kind != "*" and not _streams(kind, kinds)]
    if duties or ("*" in wanted_by(rule.obligations) and kinds.partial):
        return f"rule {rule.id} redacts {(*duties, '*')[0]}, which needs the whole text"
    condition = rule.when or ""
    bare = _STRING.sub('""', condition)
    if _TEXT.search(bare):
        return f"rule {rule.id} reads the text"
    if not _FINDINGS.search(bare):
        return ""
    alone = len(_FINDINGS.findall(bare)) == len(_ANY_OF.findall(condition))
    joined = len(_ANY_OF.findall(condition)) > 1 and ("&&" in bare or "?" in bare)
    if not alone or joined or "!" in re.sub(r"!=", "", bare) or _SUM.search(bare):
        return f"rule {rule.id} counts findings"
    foreign = [kind for kind in keys_named([condition], "findings") if not _streams(kind, kinds)]
    return f"rule {rule.id} reads {foreign[0]}, which needs the whole text" if foreign else ""


def _streams(name: str, kinds: PackKinds) -> bool:
    scanner = name in kinds.scanners.values() and name not in kinds.partial
    return name in kinds.scanners or scanner or name == "not_scanned"


def _with_finding(request: Request, kind: str, scanner: str) -> Request:
    found = Finding(scanner=scanner, kind=kind, severity="high")
    facts = {name: getattr(request, name) for name in Request.__slots__}
    return Request(**facts | {"findings": counted([found])})


def _kinds_of(decision: Decision, kinds: PackKinds) -> frozenset[str]:
    wanted = wanted_by(decision.obligations)
    return frozenset(kind for kind, scanner in kinds.scanners.items() if is_wanted(kind, scanner, wanted))


@lru_cache(maxsize=64)
def _redaction(pack: RulePack, deny: frozenset[str], kinds: frozenset[str]) -> Redaction | None:
    """Rules are compiled anew for a choice of kinds, which is dear and happens once for each choice."""
    if not kinds:
        return None
    rules = pack.rules if kinds >= {rule.kind for rule in pack.rules} else [r for r in pack.rules if r.kind in kinds]
    return Redaction(pack if rules is pack.rules else RulePack(rules), deny=deny)
