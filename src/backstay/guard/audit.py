"""The audit: what was decided, by which rules and on which evidence, as rows of the ledger.

Contents stay out unless the operator asks for them: a row holds keyed digests. They tell whoever has the project's key
whether two contents are equal, and nothing to anybody else.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal

from backstay.errors import UsageError
from backstay.guard.canonical import canonical_text
from backstay.guard.ledger import Ledger
from backstay.guard.redaction import redact
from backstay.policy import Decision, Mask, Obligation, Request
from backstay.policy.history import amount_of
from backstay.policy.recorded import KIND, readable, whole_doubles
from backstay.records.ids import uuid7
from backstay.storage.journal import utc_now

Contents = Literal["digests", "redacted", "full"]
DECISION = KIND
OUTCOME = "guard.outcome"
MASKED = "[MASKED]"
MAX_EXACT = 2**53 - 1
_TYPES = {
    type(None): "null",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
    tuple: "array",
}


class AuditLog:
    """Writes decisions and outcomes; every method returns the ledger's future, which resolves once the row is durable.

    `contents`: `digests` (default) keeps no contents, `redacted` keeps them after `redaction`, `full` keeps them as is.
    Arguments under an obligation `mask` are hidden in every case.
    """

    def __init__(
        self,
        ledger: Ledger,
        contents: Contents = "digests",
        redaction: Callable[[str], str] = lambda text: redact(text)[0],
    ) -> None:
        if contents not in ("digests", "redacted", "full"):
            raise UsageError(f"audit.contents: {contents!r}", cure="one of digests, redacted, full")
        self._ledger, self._contents, self._redaction = ledger, contents, redaction

    def decision(
        self,
        request: Request,
        decision: Decision,
        *,
        exchange: str,
        session: str,
        cost_us: int,
        counted: Mapping[str, Any] | None = None,
        decision_id: str | None = None,
    ) -> Future[int]:
        """Write a decision.

        `counted` is `policy.counted_values` of an action that is about to be carried out, and None of one that is not:
        counters are rebuilt from it. `decision_id` is a new UUIDv7 unless given.
        """
        row = self._row(request, decision)
        row["id"] = decision_id or uuid7()
        row["exchange"], row["session"], row["cost_us"] = exchange, session, int(cost_us)
        if counted:
            row["counted"] = {name: _number(amount_of(value)) for name, value in counted.items()}
        if self._contents != "digests":
            row["content"] = self._content(request, decision.obligations)
        return self._append(DECISION, row)

    def outcome(
        self,
        decision_id: str,
        *,
        exchange: str,
        session: str,
        status: str,
        detail: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        counted: Mapping[str, Any] | None = None,
    ) -> Future[int]:
        """Write what became of a decision: `status` such as executed, failed, unknown; of `content` its digest only.

        Give `counted` where an action that was held is carried out now.
        """
        row: dict[str, Any] = {
            "id": uuid7(),
            "at": utc_now(),
            "decision": decision_id,
            "exchange": exchange,
            "session": session,
            "status": status,
            "detail": dict(detail or {}),
            "content_digest": None if content is None else self._ledger.digest(content),
        }
        if counted:
            row["counted"] = {name: _number(amount_of(value)) for name, value in counted.items()}
        return self._append(OUTCOME, row)

    def _row(self, request: Request, decision: Decision) -> dict[str, Any]:
        findings, provenance = request.findings, request.provenance
        return {
            "at": utc_now(),
            "point": request.point,
            "action": request.action,
            "tool": request.tool,
            "principal": request.principal,
            "roles": list(request.roles),
            "resource": request.resource,
            "effect": decision.effect,
            "rules": list(decision.rules),
            "reasons": list(decision.reasons),
            "errors": [list(error) for error in decision.errors],
            "obligations": [obligation.model_dump(mode="json") for obligation in decision.obligations],
            "policy": decision.policy,
            "findings": None if findings is None else dict(findings),
            "provenance": None if provenance is None else {arg: list(origins) for arg, origins in provenance.items()},
            "call": None if request.call is None else {name: _listed(value) for name, value in request.call.items()},
            "counters": {name: _number(value) for name, value in request.counters.items()},
            "shadow": [list(result) for result in decision.shadow],
            "shadow_effect": decision.shadow_effect,
            "text_digest": self._ledger.digest(_bytes(request.text)),
            "args_digest": self._ledger.digest(_args_bytes(request.args)),
            "args_shape": {arg: _TYPES.get(type(value), type(value).__name__) for arg, value in request.args.items()},
            "readable": readable(request),
        }

    def _content(self, request: Request, obligations: Sequence[Obligation]) -> dict[str, Any]:
        hidden = {arg for obligation in obligations if isinstance(obligation, Mask) for arg in obligation.args}
        attributes = {"principal": dict(request.principal_attributes), "resource": dict(request.resource_attributes)}
        content = {
            "text": request.text,
            "args": {arg: MASKED if arg in hidden else value for arg, value in request.args.items()},
            "attributes": attributes,
        }
        if self._contents == "redacted":
            return {**_with_texts(content, self._redaction), "exact": False}
        doubles = whole_doubles(request.args, attributes)
        exact = doubles is not None and hidden.isdisjoint(request.args)
        return content | {"exact": exact} | ({"doubles": doubles} if exact else {})

    def _append(self, kind: str, row: dict[str, Any]) -> Future[int]:
        try:
            return self._ledger.append(kind, row)
        except UsageError:
            return self._ledger.append(kind, {**_escaped(row), "escaped": True})


def _number(value: float | None) -> float | None:
    """Sums are floats; a whole one is written as an integer, which is faster and the same number."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_EXACT else value


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _args_bytes(args: Mapping[str, Any]) -> bytes:
    """Canonical JSON of arguments; Python's own of those that hold what RFC 8785 refuses, such as large integers."""
    try:
        return canonical_text(args).encode()
    except (ValueError, TypeError, RecursionError):
        try:
            return json.dumps(args, sort_keys=True).encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"arguments that are not JSON cannot be audited: {error}") from error


def _with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A copy in which every string, keys included, is changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): _with_texts(inner, change) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_texts(inner, change) for inner in value]
    return value


def _escaped(value: Any) -> Any:
    """A copy that canonical JSON can hold: lone surrogates escaped, integers beyond 2**53 and NaN as text."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_escaped(key): _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(inner) for inner in value]
    beyond = abs(value) > MAX_EXACT if isinstance(value, int) else isinstance(value, float) and not math.isfinite(value)
    return str(value) if beyond else value


def _listed(value: str | Sequence[str]) -> str | list[str]:
    return value if isinstance(value, str) else list(value)
