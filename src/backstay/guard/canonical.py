"""Canonical JSON (RFC 8785) at the speed of orjson where both are proven to say the same, else by `rfc8785`.

They differ on floats (1.0 is `1` in RFC 8785, NaN is refused), and in the order of keys when one of them lies beyond
the Basic Multilingual Plane (UTF-16 sorts it before U+E000).
"""

from typing import Any

import orjson

from backstay.records import canonical_json

_LEAVES = frozenset({str, int, bool, type(None)})
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_BEYOND_PLANE = 0xF0
"""First byte in UTF-8 of the characters behind U+FFFF."""


def canonical_text(value: Any) -> str:
    """Canonical JSON as text; raises ValueError, TypeError or RecursionError for what JSON cannot hold."""
    try:
        found = orjson.dumps(value if _is_plain(value) else _with_numbers(value), option=_OPTIONS)
    except (orjson.JSONEncodeError, ValueError, RecursionError):
        return canonical_json(value).decode()
    if found.isascii() or max(found) < _BEYOND_PLANE:
        return found.decode()
    return canonical_json(value).decode()


def _with_numbers(value: Any) -> Any:
    """A copy with floats as RFC 8785 writes them; raises for everything else that is not plain."""
    kind = type(value)
    if kind in _LEAVES:
        return value
    if kind is float:
        return orjson.Fragment(canonical_json(value))
    if kind is dict:
        return {key: _with_numbers(inner) for key, inner in value.items()}
    if kind is list or kind is tuple:
        return [_with_numbers(inner) for inner in value]
    raise orjson.JSONEncodeError(f"{kind.__name__} is not plain")


def _is_plain(value: Any) -> bool:
    """Whether a value is made of dicts, lists, tuples, strings, integers, truth values and None only."""
    waiting = [(value,)]
    while waiting:
        values: Any = waiting.pop()
        if not _LEAVES.issuperset(map(type, values)):
            for inner in values:
                kind = type(inner)
                if kind is dict:
                    waiting.append(inner.values())
                elif kind is list or kind is tuple:
                    waiting.append(inner)
                elif kind not in _LEAVES:
                    return False
    return True
