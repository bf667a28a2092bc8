"""The states of an approval, and which may follow which. Nothing follows a terminal one."""

from enum import StrEnum

from backstay.errors import IntegrityError


class State(StrEnum):
    """Where an approval stands."""

    PENDING = "pending"
    """Waits for people."""

    APPROVED = "approved"
    """Enough people approved; nobody has taken it up yet."""

    EXECUTING = "executing"
    """One worker took it up, until its lease runs out."""

    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    """Somebody edited the arguments: another approval took its place."""

    STALE = "stale"
    """Policy, arguments or tool schema are no longer those that were approved, and policy denies or cannot tell."""

    EXECUTED = "executed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """The lease ran out without an outcome: the effect may have happened. It is never tried again by itself."""


TRANSITIONS: dict[State, frozenset[State]] = {
    State.PENDING: frozenset(
        {State.APPROVED, State.DENIED, State.EXPIRED, State.CANCELLED, State.SUPERSEDED, State.STALE}
    ),
    State.APPROVED: frozenset(
        {State.EXECUTING, State.PENDING, State.DENIED, State.EXPIRED, State.CANCELLED, State.STALE}
    ),
    State.EXECUTING: frozenset({State.EXECUTED, State.FAILED, State.UNKNOWN}),
}
"""What may follow. `approved` goes back to `pending` when the current policy demands more than was given."""

TERMINAL = frozenset(State) - TRANSITIONS.keys()
OPEN = frozenset({State.PENDING, State.APPROVED})
"""What expires, and what a person may still deny or cancel."""


def check_transition(before: State, after: State) -> None:
    """Refuse what the state machine does not know; a caller that gets here has a fault."""
    if after not in TRANSITIONS.get(before, frozenset()):
        raise IntegrityError(f"an approval cannot go from {before} to {after}")
