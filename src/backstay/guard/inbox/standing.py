"""What one person may do about one approval, and why not. For display: the service checks everything again."""

from typing import NamedTuple

from backstay.guard.approvals import Approval, Directory, State
from backstay.guard.approvals.approval import BREAK_GLASS_PEOPLE, BREAK_GLASS_ROLE
from backstay.guard.approvals.quorum import Roles, filled, may_vote
from backstay.guard.approvals.states import OPEN


class Place(NamedTuple):
    """A stage: how many people with one of these roles it needs and has."""

    roles: tuple[str, ...]
    needs: int
    has: int


class Standing(NamedTuple):
    """What the page offers to somebody. `why` says in a few words why they cannot approve; empty where they can."""

    approve: bool
    deny: bool
    edit: bool
    break_glass: bool
    why: str


def places_of(approval: Approval, directory: Directory) -> tuple[Place, ...]:
    """Needed and had, counting as the decision does: roles that people had then and have now, interested left out."""
    barred = directory.known_as(approval.interested)
    voters: dict[str, Roles] = {
        person: roles & directory.roles.get(person, frozenset())
        for person, roles in approval.voters("approve").items()
        if person not in barred
    }
    had = filled(approval.stages, voters)
    return tuple(Place(stage.roles, stage.k, has) for stage, has in zip(approval.stages, had, strict=True))


def glass_breakers(approval: Approval, directory: Directory) -> Place:
    """How many people have broken the glass, of the two that it takes."""
    barred = directory.known_as(approval.interested)
    broke = [
        person
        for person, roles in approval.voters("break_glass").items()
        if person not in barred and BREAK_GLASS_ROLE in roles & directory.roles.get(person, frozenset())
    ]
    return Place((BREAK_GLASS_ROLE,), BREAK_GLASS_PEOPLE, len(broke))


def standing(approval: Approval, person: str, directory: Directory) -> Standing:
    """What this person may do now."""
    roles = directory.roles.get(person, frozenset())
    interest = _interest(approval, person, directory)
    eligible = may_vote(approval.stages, roles) and not interest
    pending = approval.state is State.PENDING
    glass = BREAK_GLASS_ROLE in roles and not interest and person not in approval.voters("break_glass")
    why = interest or _why_not(approval, person, roles)
    return Standing(
        approve=eligible and pending and not why,
        deny=eligible and approval.state in OPEN,
        edit=pending and may_vote(approval.stages, roles) and not _asked(approval, person, directory),
        break_glass=glass and pending and not approval.unchecked,
        why=why,
    )


def _asked(approval: Approval, person: str, directory: Directory) -> bool:
    return person in directory.known_as((approval.principal, str(approval.content["owner"])))


def _interest(approval: Approval, person: str, directory: Directory) -> str:
    if person in directory.known_as((approval.principal,)):
        return "You asked for this"
    if person in directory.known_as((str(approval.content["owner"]),)):
        return "You own the agent that asked"
    if person in directory.known_as(approval.editors):
        return "You edited this"
    return ""


def _why_not(approval: Approval, person: str, roles: Roles) -> str:
    if approval.state is not State.PENDING:
        return f"It is {approval.state}"
    if not may_vote(approval.stages, roles):
        wanted = sorted({role for stage in approval.stages for role in stage.roles})
        return f"Only for {' or '.join(wanted)}"
    if approval.unchecked:
        return "Edited; policy and scans have not looked at it yet"
    if person in approval.voters("approve"):
        return "You approved this"
    return ""
