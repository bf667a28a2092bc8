"""An approval as it stands in the database, and what follows from it without asking anybody."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from backstay.guard.approvals.held_action import read_obligations
from backstay.guard.approvals.quorum import Roles, Stage, is_met, stages_of, widened
from backstay.guard.approvals.states import OPEN, State
from backstay.policy import Obligation

BREAK_GLASS_ROLE = "break-glass"
BREAK_GLASS_PEOPLE = 2


class Vote(NamedTuple):
    """One person's word on one digest."""

    person: str
    vote: str
    """`approve`, `deny` or `break_glass`."""

    digest: str
    version: int
    """Of the approval, when the vote was cast."""

    roles: Roles
    """What the directory said then."""

    reason: str
    key: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One row, with the votes on its current digest. Times are milliseconds since 1970."""

    id: str
    state: State
    version: int
    digest: str
    content: Mapping[str, Any]
    """What the digest is of."""

    asked_at_ms: int
    expires_at_ms: int
    escalate_at_ms: int | None = None
    escalated_roles: tuple[str, ...] = ()
    editors: tuple[str, ...] = ()
    unchecked: bool = False
    """Edited, and policy and scans have not been run on the edit: nobody can decide yet."""

    supersedes: str = ""
    superseded_by: str = ""
    via: str = ""
    """`quorum` or `break-glass`, once approved."""

    worker: str = ""
    lease_until_ms: int | None = None
    token_sha256: str = ""
    outcome: str = ""
    rules: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    exchange: str = ""
    key: str = ""
    votes: tuple[Vote, ...] = ()

    @property
    def principal(self) -> str:
        """Who asked."""
        return str(self.content["principal"])

    @property
    def tool(self) -> str:
        """Which tool is called."""
        return str(self.content["tool"])

    @property
    def obligations(self) -> tuple[Obligation, ...]:
        """What policy demanded when it was asked, or reopened."""
        return read_obligations(self.content["obligations"])

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Who must approve, escalation included."""
        return widened(stages_of(self.obligations), self.escalated_roles)

    @property
    def interested(self) -> tuple[str, ...]:
        """Names that can never count: requester, owner, editors."""
        return (self.principal, str(self.content["owner"]), *self.editors)

    def editors_next(self, editor: str) -> tuple[str, ...]:
        """Who has edited it once this person has too."""
        return (*self.editors, editor)

    def is_over(self, now_ms: int) -> bool:
        """Whether its time has passed, whatever the row still says."""
        return self.state in OPEN and now_ms >= self.expires_at_ms

    def lease_is_over(self, now_ms: int) -> bool:
        """Whether its worker had its time."""
        return self.state is State.EXECUTING and self.lease_until_ms is not None and now_ms >= self.lease_until_ms

    def voters(self, vote: str) -> dict[str, Roles]:
        """Who said this on the current digest, with the roles of their latest vote."""
        return {cast.person: cast.roles for cast in self.votes if cast.vote == vote and cast.digest == self.digest}


def is_granted(approval: Approval, roles_now: Mapping[str, Roles], excluded: Iterable[str] = ()) -> bool:
    """Whether those who approved this digest are enough, counting only roles that they had then and have now."""
    barred = set(excluded)
    counted = {
        vote: {
            person: roles & roles_now.get(person, frozenset())
            for person, roles in approval.voters(vote).items()
            if person not in barred
        }
        for vote in ("approve", "break_glass")
    }
    broken = sum(BREAK_GLASS_ROLE in roles for roles in counted["break_glass"].values())
    return broken >= BREAK_GLASS_PEOPLE or is_met(approval.stages, counted["approve"])


def utc(at_ms: int) -> str:
    """A moment as people and journals read it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
