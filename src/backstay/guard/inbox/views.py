"""What pages say of approvals, worked out before a template sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from backstay.guard.approvals import Approval, Directory, State, rendered, shown_json
from backstay.guard.approvals.states import OPEN
from backstay.guard.inbox.evidence import Origin
from backstay.guard.inbox.exact_text import ExactText, exact_text
from backstay.guard.inbox.standing import Place, Standing, glass_breakers, places_of, standing
from backstay.guard.inbox.wording import STATES, TONES, VOTES, moment

SOON_MS = 300_000
"""What expires within five minutes stands out."""


class Cast(NamedTuple):
    """A vote in the history."""

    person: str
    said: str
    vote: str
    at: str
    reason: str
    earlier: bool
    """It was on an earlier digest and does not count."""


@dataclass(frozen=True, slots=True)
class Row:
    """An approval in a list."""

    approval: Approval
    places: tuple[Place, ...]
    standing: Standing
    left_ms: int
    state: str
    tone: str
    age_ms: int

    @property
    def soon(self) -> bool:
        """Whether it expires soon."""
        return self.left_ms < SOON_MS

    @property
    def decided_by(self) -> tuple[str, ...]:
        """Who denied it, or else who approved it or broke the glass."""
        said = {vote: sorted(self.approval.voters(vote)) for vote in ("deny", "approve", "break_glass")}
        return tuple(said["deny"] or [*said["approve"], *said["break_glass"]])


@dataclass(frozen=True, slots=True)
class Detail:
    """The page of one approval."""

    row: Row
    exact: ExactText
    args: str
    glass: Place
    history: tuple[Cast, ...]
    asked: str
    expires: str
    origins: tuple[Origin, ...] = ()

    @property
    def approval(self) -> Approval:
        """What it is about."""
        return self.row.approval

    @property
    def open(self) -> bool:
        """Whether anything can still be decided."""
        return self.approval.state in OPEN

    @property
    def pending(self) -> bool:
        """Whether it waits for people."""
        return self.approval.state is State.PENDING


def row_of(approval: Approval, person: str, directory: Directory, now_ms: int) -> Row:
    """An approval as this person sees it in a list."""
    state = str(approval.state)
    return Row(
        approval,
        places_of(approval, directory),
        standing(approval, person, directory),
        approval.expires_at_ms - now_ms,
        STATES[state],
        TONES.get(state, "quiet"),
        now_ms - approval.asked_at_ms,
    )


def rows_of(found: Sequence[Approval], person: str, directory: Directory, now_ms: int) -> list[Row]:
    """Approvals as this person sees them."""
    return [row_of(approval, person, directory, now_ms) for approval in found]


def detail_of(
    approval: Approval,
    previous: Approval | None,
    person: str,
    directory: Directory,
    now_ms: int,
    origins: tuple[Origin, ...] = (),
) -> Detail:
    """One approval as this person sees it; `previous` is what it supersedes."""
    return Detail(
        row_of(approval, person, directory, now_ms),
        exact_text(rendered(approval, previous)),
        shown_json(approval.content["args"]),
        glass_breakers(approval, directory),
        tuple(
            Cast(v.person, VOTES[v.vote], v.vote, moment(v.at_ms), v.reason, v.digest != approval.digest)
            for v in approval.votes
        ),
        moment(approval.asked_at_ms),
        moment(approval.expires_at_ms),
        origins,
    )
