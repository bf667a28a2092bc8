"""A request out of a solver's model."""

import re
from typing import Any

from backstay.policy.cel import CALL_LISTS
from backstay.policy.request import Request
from backstay.policy.symbolic import ABSENT, BOOL, DOUBLE, INT, NULL, OTHER, SIDE_EFFECT, STRING, Symbols


def request_of_model(model: Any, symbols: Symbols, point: str) -> Request:
    """The request that a model describes; what the model leaves open is filled plainly."""

    def value(term: Any) -> Any:
        return model.eval(term, model_completion=True)

    def text(name: str) -> str:
        return _text(value(symbols.texts[name]))

    args = {name: _argument(value, arg) for name, arg in symbols.args.items() if value(arg["kind"]).as_long() != ABSENT}
    counters: dict[str, float | None] = {
        name: _number(value(amount)) for name, (known, amount) in symbols.counted.items() if _is_true(value(known))
    }
    return Request(
        point=point,
        action=text("action"),
        tool=text("tool"),
        principal=text("principal.id"),
        resource=text("resource.id"),
        text=text("text"),
        roles=tuple(sorted(name for name, role in symbols.roles.items() if _is_true(value(role)))),
        args=args,
        findings=_findings(value, symbols),
        provenance=_provenance(value, symbols, args),
        call=_call(value, symbols),
        counters=counters,
    )


def _findings(value: Any, symbols: Symbols) -> dict[str, int] | None:
    if symbols.findings and not _is_true(value(symbols.scanned)):
        return None
    return {kind: value(count).as_long() for kind, count in symbols.findings.items()}


def _provenance(value: Any, symbols: Symbols, args: dict[str, Any]) -> dict[str, list[str]] | None:
    """Arguments that no rule asks about came from the user; those that it leaves unknown have no entry."""
    if symbols.known and not _is_true(value(symbols.traced)):
        return None
    origins: dict[str, list[str]] = {name: ["user"] for name in args if name not in symbols.known}
    for name, known in symbols.known.items():
        if name in args and _is_true(value(known)):
            origins[name] = []
    for (name, origin), term in symbols.origins.items():
        if name in origins and _is_true(value(term)):
            origins[name].append(origin)
    return origins


def _call(value: Any, symbols: Symbols) -> dict[str, Any] | None:
    """Nothing is known of the call where a rule asks for it and the model leaves it unknown."""
    if not _is_true(value(symbols.looked_at)):
        return None
    call: dict[str, Any] = {part: [] for part in CALL_LISTS}
    for (part, word), term in symbols.call.items():
        if _is_true(value(term)):
            call[part].append(word)
    return call | {"side_effect": _text(value(symbols.texts[SIDE_EFFECT]))}


def _argument(value: Any, arg: dict[str, Any]) -> Any:
    kind = value(arg["kind"]).as_long()
    if kind == INT:
        return value(arg["int"]).as_long()
    if kind == DOUBLE:
        return float(_number(value(arg["double"])))
    if kind == STRING:
        return _text(value(arg["string"]))
    return {BOOL: _is_true(value(arg["bool"])), NULL: None, OTHER: []}[kind]


def _is_true(term: Any) -> bool:
    return str(term) == "True"


def _number(term: Any) -> float:
    if hasattr(term, "as_long") and term.is_int():
        return int(term.as_long())
    exact = term if hasattr(term, "as_fraction") else term.approx(20)
    return float(exact.as_fraction())


def _text(term: Any) -> str:
    return re.sub(r"\\u\{([0-9a-fA-F]+)\}", lambda found: chr(int(found[1], 16)), term.as_string())
