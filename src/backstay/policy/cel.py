"""Conditions in CEL: a small protocol, the typed engine that decides, and a second one to check it against."""

import difflib
import importlib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from backstay.errors import UsageError

VariableType = Literal["string", "strings", "attributes", "counts", "origins", "int", "double"]
VARIABLES: dict[str, VariableType] = {
    "point": "string",
    "action": "string",
    "tool": "string",
    "principal.id": "string",
    "principal.roles": "strings",
    "principal.attributes": "attributes",
    "resource.id": "string",
    "resource.attributes": "attributes",
    "args": "attributes",
    "text": "string",
    "findings": "counts",
    "provenance": "origins",
    "call.side_effect": "string",
    "call.facts": "strings",
    "call.destination": "strings",
    "call.selector": "strings",
    "call.credential": "strings",
    "call.amount": "strings",
    "call.payload": "strings",
}
CALL_LISTS = tuple(
    name.partition(".")[2] for name, kind in VARIABLES.items() if name[:5] == "call." and kind == "strings"
)
"""Parts of `Request.call` that are lists; `side_effect` is the only other one."""
MAX_DEPTH = 32
Condition = Callable[[Any], bool]
_MATCHES = re.compile(
    r"""r?"(?:[^"\\]|\\.)*"|r?'(?:[^'\\]|\\.)*'|\bmatches\s*\(\s*(?:[^'"(),]+,\s*)?(?P<regex>r?"(?:[^"\\]|\\.)*"|r?'(?:[^'\\]|\\.)*')"""
)


class ConditionRefused(ValueError):
    """A condition does not compile: syntax, an undeclared name, a wrong type."""


class ConditionError(Exception):
    """A condition gave no answer to this request."""


class ConditionEngine(Protocol):
    """Compiles conditions and binds the variables of one request."""

    name: str

    def compile(self, text: str) -> Condition:
        """Compile a condition; raises ConditionRefused. What it returns raises ConditionError."""

    def bind(self, variables: Mapping[str, Any]) -> Any:
        """Make variables (by their dotted names) ready for the conditions of one request."""


class CelExprEngine:
    """The official C++ runtime (`cel-expr-python`): types are checked when a condition is compiled, RE2 matches."""

    name = "cel-expr-python"

    def __init__(self, counters: Mapping[str, VariableType] | None = None) -> None:
        self._cel = _required("cel_expr_python.cel", "cel-expr-python")
        kinds = self._types()
        declared = VARIABLES | {f"counter.{name}": kind for name, kind in (counters or {}).items()}
        self._names = list(declared)
        self._env = self._cel.NewEnv(variables={name: kinds[kind] for name, kind in declared.items()})

    def _types(self) -> dict[VariableType, Any]:
        kind = self._cel.Type
        return {
            "string": kind.STRING,
            "strings": kind.List(kind.STRING),
            "attributes": kind.Map(kind.STRING, kind.DYN),
            "counts": kind.Map(kind.STRING, kind.INT),
            "origins": kind.Map(kind.STRING, kind.List(kind.STRING)),
            "int": kind.INT,
            "double": kind.DOUBLE,
        }

    def compile(self, text: str) -> Condition:
        """Compile and type-check a condition."""
        expression = self._checked(text)
        for found in _MATCHES.finditer(text):
            if found["regex"] and not isinstance(self._evaluate(f'"".matches({found["regex"]})'), bool):
                raise ConditionRefused(f"{found['regex']} is no regular expression of RE2")
        evaluate = expression.eval

        def condition(bound: Any) -> bool:
            try:
                answer = evaluate(bound).plain_value()
            except Exception as error:  # noqa: BLE001  whatever goes wrong inside is an error of the condition
                raise ConditionError(without_values(str(error))) from None
            if answer is True or answer is False:
                return bool(answer)
            raise ConditionError(without_values(str(answer)))

        return condition

    def _checked(self, text: str) -> Any:
        try:
            expression = self._env.compile(text)
        except Exception as error:  # noqa: BLE001  the binding raises bare RuntimeError and others
            raise ConditionRefused(self._readable(str(error))) from None
        if expression.return_type() != self._cel.Type.BOOL:
            kind = expression.return_type().name()
            raise ConditionRefused(
                f"a condition must be true or false, this one is {kind}; compare it, for example with == true"
            )
        return expression

    def _evaluate(self, text: str) -> Any:
        try:
            return self._env.compile(text).eval(self._env.Activation({})).plain_value()
        except Exception:  # noqa: BLE001  asked only whether it evaluates
            return None

    def _readable(self, message: str) -> str:
        faults = re.findall(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)", message) or [("", "", message)]
        line, column, fault = faults[0]
        fault = fault.replace(" (in container '')", "")
        unknown = re.match(r"undeclared reference to '([^']*)'", fault)
        near = difflib.get_close_matches(unknown[1], self._names, n=1) if unknown else []
        where = f" at line {line}, column {column}" if line and not line.startswith("-") else ""
        return f"{fault}{where}" + (f"; nearest known: {near[0]}" if near else "")

    def bind(self, variables: Mapping[str, Any]) -> Any:
        """Bind the variables of one request."""
        return self._env.Activation(variables)


class CelRustEngine:
    """The Rust implementation (`common-expression-language`), untyped; a second opinion for tests."""

    name = "common-expression-language"

    def __init__(self, counters: Mapping[str, VariableType] | None = None) -> None:
        self._cel = _required("cel", "common-expression-language")
        self._roots = {name.split(".", maxsplit=1)[0] for name in VARIABLES} | ({"counter"} if counters else set())

    def compile(self, text: str) -> Condition:
        """Compile a condition; types are not checked before it runs."""
        try:
            program = self._cel.compile(text)
        except Exception as error:  # noqa: BLE001  a foreign parser
            raise ConditionRefused(str(error)) from None

        def condition(bound: Any) -> bool:
            try:
                answer = program.execute(bound)
            except Exception as error:  # noqa: BLE001  whatever goes wrong inside is an error of the condition
                raise ConditionError(without_values(str(error))) from None
            if answer is True or answer is False:
                return bool(answer)
            raise ConditionError(f"gave {type(answer).__name__}, not true or false")

        return condition

    def bind(self, variables: Mapping[str, Any]) -> Any:
        """Dotted names become nested mappings."""
        nested: dict[str, Any] = {}
        for name, value in variables.items():
            root, _, leaf = name.partition(".")
            if leaf:
                nested.setdefault(root, {})[leaf] = value
            else:
                nested[root] = value
        return nested


def _required(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"{package} is not installed, and policies need it", cure="pip install 'backstay[guard]'"
        ) from error


def without_values(message: str) -> str:
    """The first words of an engine's message, without what it quotes of the request."""
    return re.split(r"""['"\n]""", message, maxsplit=1)[0].strip()[:160] or "no answer"


def unfit(value: Any, depth: int = 0) -> str | None:
    """Why a value cannot stand in a condition, None when it can.

    The C++ runtime cuts text at NUL and follows nested values without a bound; NaN makes every comparison false. None
    of these may come near a rule.
    """
    if isinstance(value, str):
        return "text with a NUL character" if "\0" in value else None
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else "an integer beyond 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "a number that is not finite"
    if isinstance(value, dict | list | tuple):
        return _unfit_inside(value, depth)
    return f"a value of type {type(value).__name__}"


def _unfit_inside(value: dict[Any, Any] | list[Any] | tuple[Any, ...], depth: int) -> str | None:
    if depth >= MAX_DEPTH:
        return f"values nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                return f"a key of type {type(key).__name__}"
            if "\0" in key or (reason := unfit(item, depth + 1)):
                return "a key with a NUL character" if "\0" in key else reason
        return None
    for item in value:
        if reason := unfit(item, depth + 1):
            return reason
    return None
