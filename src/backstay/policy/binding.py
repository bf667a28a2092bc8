"""The variables of one request, made ready for conditions; what cannot be made ready makes them err."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from backstay.policy.cel import CALL_LISTS, ConditionEngine, ConditionError, unfit
from backstay.policy.request import Request

_NAN = re.compile(r"\s*[+-]?nan\s*(\(.*)?", re.IGNORECASE | re.DOTALL)


def keys_named(texts: Collection[str], variable: str) -> tuple[str, ...]:
    """Keys of a mapping variable that conditions name, as `findings.secret` or `findings["secret"]`."""
    written = re.compile(rf"""\b{variable}(?:\.([A-Za-z_]\w*)|\[\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\])""")
    return tuple(sorted({"".join(found) for text in texts for found in written.findall(text)}))


class Binder:
    """Binds requests for the conditions of one policy."""

    def __init__(self, engine: ConditionEngine, conditions: Collection[str], counters: Collection[str]) -> None:
        self._engine = engine
        self._no_findings = dict.fromkeys(keys_named(conditions, "findings"), 0)
        self._origins = keys_named(conditions, "provenance")
        self.reads_numbers = any(re.search(r"\bdouble\s*\(", text) for text in conditions)
        self._counters = {name: f"counter.{name}" for name in counters}

    def bind(self, request: Request) -> Any:
        """What the engine evaluates with, or the ConditionError that every condition of this request meets."""
        try:
            variables = self._variables(request)
            if reason := unfit(variables):
                return ConditionError(f"the request holds {reason}")
            if self.reads_numbers and reads_as_nan(variables):
                return ConditionError("the request holds text that double() reads as NaN")
            return self._engine.bind(variables)
        except Exception as error:  # noqa: BLE001  a request that cannot be bound must not be allowed for it
            return ConditionError(f"the request cannot be read ({type(error).__name__})")

    def _variables(self, request: Request) -> dict[str, Any]:
        if isinstance(request.roles, str):
            raise TypeError("roles are a sequence of names")
        args = _plain(request.args)
        variables: dict[str, Any] = {
            "point": request.point,
            "action": request.action,
            "tool": request.tool,
            "principal.id": request.principal,
            "principal.roles": list(request.roles),
            "principal.attributes": _plain(request.principal_attributes),
            "resource.id": request.resource,
            "resource.attributes": _plain(request.resource_attributes),
            "args": args,
            "text": request.text,
        }
        if request.findings is not None:
            variables["findings"] = self._no_findings | _plain(request.findings)
        if request.provenance is not None:
            variables["provenance"] = self._filled(args, request.provenance)
        if request.call is not None:
            variables.update(_call(request.call))
        for name, variable in self._counters.items():
            value = request.counters.get(name)
            if value is not None:
                variables[variable] = value
        return variables

    def _filled(self, args: dict[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
        """An argument that is not there has no origins; one that is there without them stays unknown, and errs."""
        filled: dict[str, Any] = {name: [] for name in self._origins if name not in args}
        filled.update((name, list(origins)) for name, origins in provenance.items())
        return filled


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """Parts that are missing stay unknown, and err; one that no condition could name is a mistake of the caller."""
    if strange := call.keys() - {"side_effect", *CALL_LISTS}:
        raise ValueError(f"a call has no {min(strange)}")
    return {f"call.{part}": value if part == "side_effect" else list(value) for part, value in call.items()}


def reads_as_nan(value: Any) -> bool:
    """Whether text in a value would make every comparison of `double(text)` false; the value is known to be fit."""
    if isinstance(value, str):
        return len(value) < 1000 and _NAN.fullmatch(value) is not None
    if isinstance(value, dict):
        return any(reads_as_nan(item) for item in value.values())
    return isinstance(value, list | tuple) and any(reads_as_nan(item) for item in value)


def _plain(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return mapping if type(mapping) is dict else dict(mapping)
