"""What an upstream says around its texts: ids, names, counts. It goes out only where it is plain and nothing is in it.

No policy decides on these, so that they can hold no finding at all: what does is left out, or replaced by ours.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from backstay.guard.findings import TextScans
from backstay.policy.points import is_plain_name

NAMES = ("id", "model", "system_fingerprint", "service_tier")
TIMES = ("created", "created_at")
MAX_WORD = 40
MAX_NUMBER = 10**10
DECIMALS = 6
MAX_USAGE_DEPTH = 4


def frame_of(scans: TextScans, said: Mapping[str, Any]) -> dict[str, Any]:
    """The fields around an answer or chunk that may go out."""
    told: dict[str, Any] = {name: said[name] for name in NAMES if is_harmless(scans, said.get(name))}
    return told | {name: int(said[name]) for name in TIMES if _number(said.get(name)) is not None}


def usage_of(usage: Any, depth: int = MAX_USAGE_DEPTH) -> dict[str, Any] | None:
    """The counts of a usage object, without anything in it that is none; None where there is no such object."""
    if not isinstance(usage, dict):
        return None
    told: dict[str, Any] = {}
    for name, value in usage.items():
        if is_word(name) and depth:
            count = usage_of(value, depth - 1) if isinstance(value, dict) else _number(value)
            if count is not None:
                told[name] = count
    return told


def is_harmless(scans: TextScans, name: Any) -> bool:
    """Whether a name is plain and no scanner finds anything in it."""
    return is_plain_name(name) and not scans.findings(name, "model.output")


def is_word(value: Any) -> bool:
    """Whether this is a short word of lower-case ASCII letters, such as a reason or the name of a field."""
    return (
        isinstance(value, str)
        and len(value) <= MAX_WORD
        and value.isascii()
        and value.islower()
        and value.replace("_", "").isalpha()
    )


def finish_of(value: Any) -> str:
    """Why an answer ended, "stop" where that is not one plain word."""
    return value if is_word(value) else "stop"


def call_ids(scans: TextScans, given: Iterable[tuple[int, str]], ours: str) -> dict[int, str]:
    """Ids of calls by their index: as given where that is harmless and no other call has it, else made from `ours`."""
    told: dict[int, str] = {}
    for index, name in given:
        free = name not in told.values() and is_harmless(scans, name)
        told[index] = name if free else f"call_{ours}_{index}"
    return told


def _number(value: Any) -> int | float | None:
    """A count as it may go out: small enough to be none of what scanners look for."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_NUMBER:
        return None
    return value if isinstance(value, int) else round(value, DECIMALS)
