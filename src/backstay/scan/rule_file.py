"""Rules as they stand in rule files."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from backstay.errors import UsageError
from backstay.scan.checks import JUDGES as SECRET_JUDGES
from backstay.scan.contact_checks import CONTACT_JUDGES
from backstay.scan.identity_numbers import IDENTITY_JUDGES
from backstay.scan.rule import Item, Judge, Rule, parse_shape

JUDGES: dict[str, Judge] = {**SECRET_JUDGES, **CONTACT_JUDGES, **IDENTITY_JUDGES}
"""Checks by the name that rule files use."""

_PLAIN = ("severity", "word_start", "cap", "cut", "number")
_KEYS = frozenset(
    (*_PLAIN, "kind", "gate", "shape", "head", "judge", "ignore_case", "close", "not_after", "not_before")
)
_LABEL_KEYS = frozenset(("kind", "labels", "gap", "shapes", "judge", "severity", "not_before"))
_GAPS = {
    "wide": "[^A-Za-z0-9][^0-9]{0,30}",
    "tight": "[ _-]?n?u?m?b?e?r?o?[.]?[ ]?i?s?[^A-Za-z0-9]{1,5}",
}
"""What stands between a label and its value: anything but digits; or signs, with "number", "no" and "is" in between."""


def _is_one(item: Item, code: int) -> bool:
    both = frozenset((*bytes([code]).lower(), *bytes([code]).upper()))
    return (item.low, item.high) == (1, 1) and item.chars in (frozenset({code}), both)


def _gate_at(items: tuple[Item, ...], gate: bytes, kind: str) -> int:
    """The number of items before the gate; raises UsageError where the shape does not hold it."""
    for place in range(len(items) - len(gate) + 1):
        if all(_is_one(item, code) for item, code in zip(items[place:], gate, strict=False)):
            return place
    raise UsageError(f"rule {kind}: its shape does not hold the gate {gate.decode()!r} as it stands")


def _known(entry: Mapping[str, Any], keys: frozenset[str]) -> None:
    unknown = sorted(set(entry) - keys)
    if unknown:
        raise UsageError(f"a rule has the unknown keys {unknown}", cure=f"known are {sorted(keys)}")


def _characters(entry: Mapping[str, Any], key: str) -> frozenset[int]:
    """A class in brackets, without them; none by default."""
    inside = entry.get(key, "")
    return parse_shape(f"[{inside}]", ignore_case=False)[0].chars if inside else frozenset()


def rule_of(entry: Mapping[str, Any]) -> Rule:
    """The rule that an entry of a rule file describes; raises UsageError."""
    _known(entry, _KEYS)
    fold = bool(entry.get("ignore_case", False))
    head = parse_shape(entry.get("head", ""), ignore_case=fold)
    items = (*head, *parse_shape(entry["shape"], ignore_case=fold))
    gate, judge = str(entry.get("gate", "")).encode("ascii"), entry.get("judge")
    if judge is not None and judge not in JUDGES:
        raise UsageError(f"rule {entry['kind']}: no check is called {judge!r}", cure=f"known are {sorted(JUDGES)}")
    return Rule(
        kind=entry["kind"],
        gate=gate,
        items=items,
        ignore_case=fold,
        before=_gate_at(items, gate, entry["kind"]) if gate else 0,
        value_at=len(head),
        close=str(entry.get("close", "")).encode("ascii"),
        judge=JUDGES[judge] if judge else None,
        not_after=_characters(entry, "not_after"),
        not_before=_characters(entry, "not_before"),
        **{key: entry[key] for key in _PLAIN if key in entry},
    )


def labelled_rules(entry: Mapping[str, Any]) -> Iterator[Rule]:
    """The rules for a value that counts behind one of some labels only; raises UsageError."""
    _known(entry, _LABEL_KEYS)
    gap = _GAPS.get(entry.get("gap", "wide"))
    if gap is None:
        raise UsageError(f"rule {entry['kind']}: no gap is called {entry['gap']!r}", cure=f"known are {sorted(_GAPS)}")
    for label, shape in product(entry["labels"], entry["shapes"]):
        yield rule_of(
            {
                "kind": entry["kind"],
                "gate": label,
                "head": "".join(f"\\{c}" if c in ".+-*?()[]{}|^$/" else c for c in label) + gap,
                "shape": shape,
                "ignore_case": True,
                "not_after": "A-Za-z0-9",
                "not_before": entry.get("not_before", "A-Za-z0-9_"),
                "number": True,
                **{key: entry[key] for key in ("judge", "severity") if key in entry},
            }
        )
