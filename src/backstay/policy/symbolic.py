"""Conditions as formulas for z3: each is true, false, or neither (it errs), as the engine would find it."""

import importlib
from typing import Any, NamedTuple

from backstay.errors import UsageError
from backstay.policy.cel import CALL_LISTS
from backstay.policy.cel_subset import Node, NotAnalysable
from backstay.policy.points import has_wildcard
from backstay.policy.rules import Counter

ABSENT, INT, DOUBLE, STRING, BOOL, NULL, OTHER = range(7)
SIDE_EFFECT = "call.side_effect"
_TEXTS = ("point", "action", "tool", "text", "principal.id", "resource.id", SIDE_EFFECT)


class Truth(NamedTuple):
    """When a condition is true, and when it is false; otherwise it errs."""

    yes: Any
    no: Any


class Case(NamedTuple):
    """One type that a value may have, when it has it, and the value then."""

    when: Any
    type: str
    value: Any


class Term(NamedTuple):
    """A value as its possible types; where none holds, it errs. `exact` names a type that arithmetic may rely on."""

    cases: tuple[Case, ...]
    exact: str = ""


def solver_module() -> Any:
    """z3; raises UsageError with the cure where it is missing."""
    try:
        return importlib.import_module("z3")
    except ImportError as error:
        raise UsageError("z3-solver is not installed", cure="pip install 'backstay[policy-analysis]'") from error


class Symbols:
    """The variables of one unknown request, made as conditions name them, and what always holds of them."""

    def __init__(self, counters: dict[str, Counter]) -> None:
        self.z3 = solver_module()
        self._counters = counters
        self.texts = {name: self.z3.String(name) for name in _TEXTS}
        self.scanned, self.traced = self.z3.Bool("scanned"), self.z3.Bool("traced")
        self.findings: dict[str, Any] = {}
        self.counted: dict[str, tuple[Any, Any]] = {}
        self.roles: dict[str, Any] = {}
        self.args: dict[str, dict[str, Any]] = {}
        self.origins: dict[tuple[str, str], Any] = {}
        self.known: dict[str, Any] = {}
        self.looked_at = self.z3.Bool("call known")
        self.call: dict[tuple[str, str], Any] = {}
        self.facts: list[Any] = []
        self._free = 0

    def free(self) -> Any:
        """A condition that nothing is known about."""
        self._free += 1
        return self.z3.Bool(f"free {self._free}")

    def arg(self, name: str) -> dict[str, Any]:
        """The kind of an argument and its value for each kind."""
        if name not in self.args:
            z3, label = self.z3, f"args {name}"
            made = {
                "kind": z3.Int(f"{label} kind"),
                "int": z3.Int(f"{label} int"),
                "double": z3.Real(f"{label} double"),
            }
            made |= {"string": z3.String(f"{label} string"), "bool": z3.Bool(f"{label} bool")}
            self.facts += [made["kind"] >= ABSENT, made["kind"] <= OTHER]
            self.args[name] = made
        return self.args[name]

    def origin(self, name: str, origin: str) -> Any:
        """Whether an argument came from an origin; one that is not there came from nowhere."""
        key = (name, origin)
        if key not in self.origins:
            self.origins[key] = self.z3.Bool(f"provenance {name} {origin}")
            self.known.setdefault(name, self.z3.Bool(f"provenance {name} known"))
            present = self.arg(name)["kind"] != ABSENT
            self.facts.append(self.z3.Implies(self.origins[key], self.z3.And(present, self.known[name])))
        return self.origins[key]

    def said_of_call(self, part: str, word: str) -> Any:
        """Whether a word stands in one of the lists about the call."""
        return self.call.setdefault((part, word), self.z3.Bool(f"call {part} {word}"))

    def glob(self, globs: tuple[str, ...], text: Any) -> Any:
        """Whether a name matches one of several patterns."""
        z3 = self.z3
        anything, one = z3.Full(z3.ReSort(z3.StringSort())), z3.AllChar(z3.ReSort(z3.StringSort()))
        found = []
        for pattern in globs:
            if not has_wildcard(pattern):
                found.append(text == z3.StringVal(pattern))
                continue
            parts = [anything if c == "*" else one if c == "?" else z3.Re(c) for c in pattern]
            found.append(z3.InRe(text, z3.Concat(*parts) if len(parts) > 1 else parts[0]))
        return z3.Or(*found)

    def truth(self, node: Node) -> Truth:
        """A condition as a formula; raises NotAnalysable."""
        z3, parts = self.z3, node.parts
        if node.kind in ("&&", "||", "if", "!"):
            return self._connective(node.kind, [self.truth(part) for part in parts])
        if node.kind in ("==", "!=", "<", "<=", ">", ">="):
            return self._compared(node.kind, self.term(parts[0]), self.term(parts[1]))
        if node.kind == "in":
            return self._member(parts[0], parts[1])
        if node.kind == "call":
            return self._called(parts[0], parts[1], list(parts[2:]))
        cases = [case for case in self.term(node).cases if case.type == "bool"]
        return Truth(
            z3.Or(*(z3.And(case.when, case.value) for case in cases)),
            z3.Or(*(z3.And(case.when, z3.Not(case.value)) for case in cases)),
        )

    def _connective(self, kind: str, parts: list[Truth]) -> Truth:
        z3 = self.z3
        if kind == "!":
            return Truth(parts[0].no, parts[0].yes)
        if kind == "&&":
            return Truth(z3.And(parts[0].yes, parts[1].yes), z3.Or(parts[0].no, parts[1].no))
        if kind == "||":
            return Truth(z3.Or(parts[0].yes, parts[1].yes), z3.And(parts[0].no, parts[1].no))
        test, yes, no = parts
        chosen = [z3.Or(z3.And(test.yes, yes[i]), z3.And(test.no, no[i])) for i in (0, 1)]
        return Truth(chosen[0], chosen[1])

    def _compared(self, operator: str, left: Term, right: Term) -> Truth:
        z3, yes, no = self.z3, [], []
        equality = operator in ("==", "!=")
        for a in left.cases:
            for b in right.cases:
                both = z3.And(a.when, b.when)
                if a.type != b.type or a.type == "nan":
                    if equality or {a.type, b.type} <= {"nan", "number"}:
                        no.append(both)
                    continue
                if a.type == "other" or (not equality and a.type not in ("number", "string")):
                    raise NotAnalysable(f"{operator} between values of type {a.type} is not analysed")
                holds = _relation(operator, a.value, b.value)
                yes.append(z3.And(both, holds))
                no.append(z3.And(both, z3.Not(holds)))
        truth = Truth(z3.Or(*yes), z3.Or(*no))
        return Truth(truth.no, truth.yes) if operator == "!=" else truth

    def _member(self, item: Node, container: Node) -> Truth:
        z3 = self.z3
        if container.kind == "list":
            equal = [self._compared("==", self.term(item), self.term(part)) for part in container.parts]
            return Truth(z3.Or(*(e.yes for e in equal)), z3.And(*(e.no for e in equal)))
        if item.kind != "literal" or not isinstance(item.parts[0], str) or container.kind != "path":
            raise NotAnalysable("`in` is analysed for written text and for written lists")
        name, path = item.parts[0], container.parts
        if path == ("principal", "roles"):
            role = self.roles.setdefault(name, z3.Bool(f"role {name}"))
            return Truth(role, z3.Not(role))
        if len(path) == 2 and path[0] == "provenance":
            origin = self.origin(path[1], name)
            known = z3.And(self.traced, z3.Or(self.known[path[1]], self.arg(path[1])["kind"] == ABSENT))
            return Truth(z3.And(known, origin), z3.And(known, z3.Not(origin)))
        if len(path) == 2 and path[0] == "call" and path[1] in CALL_LISTS:
            stands = self.said_of_call(path[1], name)
            return Truth(z3.And(self.looked_at, stands), z3.And(self.looked_at, z3.Not(stands)))
        raise NotAnalysable(f"`in {'.'.join(path)}` is not analysed")

    def _called(self, name: str, receiver: Node | None, arguments: list[Node]) -> Truth:
        z3 = self.z3
        if name == "has" and len(arguments) == 1 and arguments[0].kind == "path":
            path = arguments[0].parts
            if len(path) == 2 and path[0] == "args":
                kind = self.arg(path[1])["kind"]
                return Truth(kind != ABSENT, kind == ABSENT)
        tests = {"startsWith": z3.PrefixOf, "endsWith": z3.SuffixOf, "contains": lambda a, b: z3.Contains(b, a)}
        if name not in tests or receiver is None or len(arguments) != 1:
            raise NotAnalysable(f"{name}() is not analysed")
        yes, no = [], []
        for a in self.term(receiver).cases:
            for b in self.term(arguments[0]).cases:
                if a.type == b.type == "string":
                    both, holds = z3.And(a.when, b.when), tests[name](b.value, a.value)
                    yes.append(z3.And(both, holds))
                    no.append(z3.And(both, z3.Not(holds)))
        return Truth(z3.Or(*yes), z3.Or(*no))

    def term(self, node: Node) -> Term:
        """A value as its possible types; raises NotAnalysable."""
        if node.kind == "literal":
            return self._literal(node.parts[0])
        if node.kind == "path":
            return self._variable(node.parts)
        if node.kind in ("+", "-", "neg"):
            return self._sum(node.kind, [self.term(part) for part in node.parts])
        if node.kind == "call" and node.parts[0] == "double" and node.parts[1] is None and len(node.parts) == 3:
            return self._as_double(self.term(node.parts[2]))
        raise NotAnalysable(f"{node.parts[0] if node.kind == 'call' else node.kind} is not analysed as a value")

    def _literal(self, value: Any) -> Term:
        z3 = self.z3
        true = z3.BoolVal(True)
        if value is None:
            return Term((Case(true, "null", true),))
        if isinstance(value, bool):
            return Term((Case(true, "bool", z3.BoolVal(value)),))
        if isinstance(value, str):
            return Term((Case(true, "string", z3.StringVal(value)),))
        exact = "int" if isinstance(value, int) else "double"
        return Term((Case(true, "number", z3.RealVal(str(value))),), exact)

    def _variable(self, path: tuple[str, ...]) -> Term:
        z3, name = self.z3, ".".join(path)
        if name in self.texts:
            known = self.looked_at if name == SIDE_EFFECT else z3.BoolVal(True)
            return Term((Case(known, "string", self.texts[name]),))
        if len(path) != 2 or path[0] not in ("args", "findings", "counter"):
            raise NotAnalysable(f"{name} is not analysed")
        if path[0] == "args":
            return self._argument(self.arg(path[1]))
        if path[0] == "counter":
            return self._counter(path[1])
        if path[1] not in self.findings:
            self.findings[path[1]] = z3.Int(name)
            self.facts.append(self.findings[path[1]] >= 0)
        return Term((Case(self.scanned, "number", z3.ToReal(self.findings[path[1]])),), "int")

    def _argument(self, arg: dict[str, Any]) -> Term:
        z3, kind = self.z3, arg["kind"]
        return Term(
            (
                Case(kind == INT, "number", z3.ToReal(arg["int"])),
                Case(kind == DOUBLE, "number", arg["double"]),
                Case(kind == STRING, "string", arg["string"]),
                Case(kind == BOOL, "bool", arg["bool"]),
                Case(kind == NULL, "null", z3.BoolVal(True)),
                Case(kind == OTHER, "other", z3.BoolVal(True)),
            )
        )

    def _counter(self, name: str) -> Term:
        z3, whole = self.z3, self._counters[name].sum is None
        if name not in self.counted:
            value = z3.Int(f"counter {name}") if whole else z3.Real(f"counter {name}")
            self.counted[name] = (z3.Bool(f"counter {name} known"), value)
            self.facts.append(value >= 0)
        known, value = self.counted[name]
        return Term((Case(known, "number", z3.ToReal(value) if whole else value),), "int" if whole else "double")

    def _sum(self, kind: str, terms: list[Term]) -> Term:
        if not terms[0].exact or len({term.exact for term in terms}) != 1:
            raise NotAnalysable("arithmetic on values whose type is only known at run time is not analysed")
        if kind == "neg":
            cases = tuple(Case(a.when, a.type, -a.value) for a in terms[0].cases)
            return Term(cases, terms[0].exact)
        sign = 1 if kind == "+" else -1
        cases = tuple(
            Case(self.z3.And(a.when, b.when), min(a.type, b.type), a.value + sign * b.value)  # "nan" is before "number"
            for a in terms[0].cases
            for b in terms[1].cases
        )
        return Term(cases, terms[0].exact)

    def _as_double(self, term: Term) -> Term:
        cases = [case for case in term.cases if case.type == "number"]
        for case in term.cases:
            if case.type == "string":  # May be read as any number, as NaN, or not at all.
                parses, is_nan = self.z3.And(case.when, self.free()), self.free()
                cases.append(Case(self.z3.And(parses, self.z3.Not(is_nan)), "number", self.z3.FreshReal("parsed")))
                cases.append(Case(self.z3.And(parses, is_nan), "nan", self.z3.RealVal(0)))
        return Term(tuple(cases), "double")


def _relation(operator: str, a: Any, b: Any) -> Any:
    if operator in ("==", "!="):
        return a == b
    if operator in ("<", ">"):
        return a < b if operator == "<" else b < a
    return a <= b if operator == "<=" else b <= a
