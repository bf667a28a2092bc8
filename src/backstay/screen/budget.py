"""What screening costs: pairs kept and set aside, the weight that training loses, and what people released and why."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from backstay.records import Pair
from backstay.screen.by_source import reasons_of

LISTED = 100
"""Released pairs that are listed one by one; all are counted."""


def budget(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Counts and shares of weight as JSON data.

    A reason's `weight_share` is of all weight and counts every pair that has the reason; a pair may have several. So
    `only_reason` counts the pairs that nothing else would have set aside. Shares are None where no pair has weight.
    """
    total = sum(pair.weight for pair in pairs)
    aside = [pair for pair in pairs if pair.status == "quarantined"]
    released = [pair for pair in pairs if pair.status == "released"]
    return {
        "kept": len(pairs) - len(aside),
        "quarantined": len(aside),
        "released": len(released),
        "weight_share_lost": _share(aside, total),
        "weight_share_released": _share(released, total),
        "by_reason": _by_reason(aside, total),
        "releases": [_release(pair) for pair in released[:LISTED]],
    }


def _share(pairs: Sequence[Pair], total: float) -> float | None:
    return round(sum(pair.weight for pair in pairs) / total, 4) if total > 0.0 else None


def _by_reason(aside: Sequence[Pair], total: float) -> dict[str, dict[str, Any]]:
    by_reason: dict[str, list[Pair]] = defaultdict(list)
    for pair in aside:
        for reason in reasons_of(pair) or {"review/quarantine"}:
            by_reason[reason].append(pair)
    return {
        reason: {
            "pairs": len(found),
            "only_reason": sum(len(reasons_of(pair)) <= 1 for pair in found),
            "weight_share": _share(found, total),
        }
        for reason, found in sorted(by_reason.items())
    }


def _release(pair: Pair) -> dict[str, Any]:
    said = next((finding.evidence for finding in reversed(pair.findings) if finding.scanner == "review"), "")
    return {"pair": pair.id, "review": said, "reasons": sorted(reasons_of(pair))}
