"""Words of the pages: times, states, refusals, and untrusted text as it may stand in them."""

from collections.abc import Sequence

from backstay.errors import BackstayError
from backstay.guard.approvals import Refusal
from backstay.guard.approvals.approval import utc
from backstay.guard.approvals.rendering import visible

MOST_IN_A_LIST = 120
STATES = {
    "pending": "Waiting",
    "approved": "Approved, not used yet",
    "executing": "Running",
    "denied": "Denied",
    "expired": "Expired",
    "cancelled": "Withdrawn",
    "superseded": "Replaced by an edit",
    "stale": "Void: policy or call changed",
    "executed": "Done",
    "failed": "Failed",
    "unknown": "Outcome unknown",
}
TONES = {
    "pending": "wait",
    "approved": "good",
    "executing": "good",
    "executed": "good",
    "denied": "bad",
    "failed": "bad",
    "unknown": "warn",
    "stale": "warn",
}
ORIGINS = {
    "user": "the user",
    "system": "the system message",
    "directory": "a trusted directory",
    "record": "a trusted field of a tool's output",
    "named": "a source that the user named",
    "tool": "a tool's output",
    "model": "the model",
}
VOTES = {"approve": "approved", "deny": "denied", "break_glass": "broke the glass for"}
_TITLES = {
    "other_digest": "This changed after you opened it",
    "not_pending": "This is no longer open",
    "expired": "This expired before your decision",
    "self_approval": "You cannot decide on this",
    "not_eligible": "You cannot decide on this",
    "unchecked": "This edit has not been checked yet",
    "reason_missing": "Say why",
    "policy_denies": "The policy forbids this",
    "link_invalid": "This link is not valid",
    "not_found": "There is no such approval",
    "key_reused": "This form was used before",
}


def shown(text: object) -> str:
    """Untrusted text in which nothing is invisible or turns the direction; line ends too stand as escapes."""
    return visible(str(text)).replace("\n", "\\n")


def brief(text: object) -> str:
    """The beginning of an untrusted text for a list; the page of the approval shows all of it."""
    whole = shown(text)
    return whole if len(whole) <= MOST_IN_A_LIST else f"{whole[: MOST_IN_A_LIST - 1]}…"


def sentence(text: object) -> str:
    """A message of ours as a sentence of its own."""
    said = brief(text).rstrip(".")
    return f"{said[:1].upper()}{said[1:]}."


def origins(names: Sequence[str]) -> str:
    """The origins of an argument in words; what came from nobody but a tool is said last."""
    if "tool_only" not in names:
        return ", ".join(ORIGINS.get(name, shown(name)) for name in names)
    others = origins([name for name in names if name not in ("tool", "tool_only")])
    return f"{others}; in part only a tool's output" if others else "only a tool's output"


def duration(milliseconds: int) -> str:
    """A time as people say it, in at most two units, rounded down."""
    seconds = max(0, milliseconds) // 1000
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def moment(at_ms: int) -> str:
    """A moment to the second."""
    return utc(at_ms)[:19].replace("T", " ") + " UTC"


def cure_of(problem: BackstayError) -> str:
    """What helps against an error, where the page is not itself the way to it."""
    if isinstance(problem, Refusal) and problem.code in ("not_found", "other_digest"):
        return ""
    return problem.cure or ""


def title_of(refusal: Refusal) -> str:
    """What a refusal is called at the top of a page."""
    return _TITLES.get(refusal.code, "Nothing was decided")
