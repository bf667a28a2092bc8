"""The two-person rule: one proposes with a reason, a second one who had no part in it confirms or refuses."""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, insert, select, update

from backstay.feedback.collection.deciders import Decider, stated
from backstay.feedback.collection.items import as_json
from backstay.feedback.collection.rejection import Rejected
from backstay.records import uuid7
from backstay.storage.console_tables import proposals
from backstay.storage.unit import Unit

Kind = Literal["gold", "release"]
Verdict = Literal["confirmed", "refused"]
PAGE = 50


class Proposal(NamedTuple):
    """What somebody proposed, and what a second person said to it. `subject` is an item's id, or a pair's."""

    id: str
    kind: Kind
    project: str
    subject: str
    change: dict[str, Any]
    reason: str
    person: str
    at_ms: int
    state: str = "waiting"
    second: str | None = None
    second_reason: str | None = None
    second_at_ms: int | None = None


def propose(
    unit: Unit, kind: Kind, project_id: str, subject: str, change: Mapping[str, Any], who: Decider, reason: str
) -> Proposal:
    """Put up a change; the same one by the same person is stored once. Raises Rejected while another one waits."""
    text = stated(reason)
    for found in _waiting_for(unit.connection, kind, project_id, subject):
        if found.change.get("dimension") != change.get("dimension"):
            continue
        if (found.person, found.change, found.reason) == (who.account_id, dict(change), text):
            return found
        raise Rejected("conflict", "a proposal on this waits already", cure="have it confirmed or refused first")
    made = Proposal(uuid7(), kind, project_id, subject, dict(change), text, who.account_id, unit.now_ms)
    unit.connection.execute(insert(proposals), [made._asdict() | {"change": as_json(change)}])
    _note(unit, made, who, "propose", text)
    return made


def proposal_of(connection: Connection, proposal_id: str) -> Proposal:
    """The proposal; raises Rejected where there is none."""
    row = connection.execute(select(proposals).where(proposals.c.id == proposal_id)).mappings().first()
    if row is None:
        raise Rejected("not_found", "there is no such proposal")
    return _proposal(row)


def proposals_of(
    connection: Connection, *, waiting: bool = True, after: str = "", project: str = "", limit: int = PAGE
) -> list[Proposal]:
    """A page of proposals, newest first; `after` is the id of the last one of the page before."""
    query = select(proposals).where(proposals.c.state == "waiting" if waiting else proposals.c.state != "waiting")
    if project:
        query = query.where(proposals.c.project == project)
    if after:
        query = query.where(proposals.c.id < after)
    rows = connection.execute(query.order_by(proposals.c.id.desc()).limit(limit)).mappings()
    return [_proposal(row) for row in rows]


def decide(unit: Unit, proposal: Proposal, who: Decider, verdict: Verdict, reason: str) -> Proposal | None:
    """Write the second person's word; None where the same person has said just that before.

    What a confirmed proposal changes is for the caller to do, in the same unit. Raises Rejected for the proposer, and
    where somebody else was faster.
    """
    text = stated(reason)
    if proposal.person == who.account_id:
        raise Rejected(
            "two_persons", "a proposal is decided by somebody else than its proposer", cure="ask a second person"
        )
    if (proposal.state, proposal.second, proposal.second_reason) == (verdict, who.account_id, text):
        return None
    _check_waits(proposal)
    _note(unit, proposal, who, "confirm" if verdict == "confirmed" else "refuse", text)
    return _ended(unit, proposal, who, verdict, text)


def withdraw(unit: Unit, proposal_id: str, who: Decider) -> Proposal:
    """The proposer takes it back; twice changes nothing. Raises Rejected."""
    proposal = proposal_of(unit.connection, proposal_id)
    if proposal.person != who.account_id:
        raise Rejected("two_persons", "only its proposer takes a proposal back", cure="refuse it instead")
    if proposal.state == "withdrawn":
        return proposal
    _check_waits(proposal)
    _note(unit, proposal, who, "withdraw", "")
    return _ended(unit, proposal, None, "withdrawn", "")


def _check_waits(proposal: Proposal) -> None:
    if proposal.state != "waiting":
        raise Rejected("conflict", f"this proposal is {proposal.state} already", cure="look at the list again")


def _waiting_for(connection: Connection, kind: Kind, project_id: str, subject: str) -> list[Proposal]:
    where = (proposals.c.state == "waiting") & (proposals.c.kind == kind) & (proposals.c.subject == subject)
    query = select(proposals).where(where, proposals.c.project == project_id)
    return [_proposal(row) for row in connection.execute(query).mappings()]


def _ended(unit: Unit, proposal: Proposal, second: Decider | None, state: str, reason: str) -> Proposal:
    changes: dict[str, Any] = {
        "state": state,
        "second": second.account_id if second else None,
        "second_reason": reason or None,
        "second_at_ms": unit.now_ms,
    }
    unit.connection.execute(update(proposals).where(proposals.c.id == proposal.id).values(changes))
    return proposal._replace(**changes)


def _note(unit: Unit, proposal: Proposal, who: Decider, did: str, reason: str) -> None:
    about = {"proposal": proposal.id, "kind": proposal.kind, "project": proposal.project, "subject": proposal.subject}
    told = {"by": who.account_id, "did": did, "change": proposal.change, "reason": reason, "proposer": proposal.person}
    unit.note("console.proposal", about | told)


def _proposal(row: Any) -> Proposal:
    return Proposal(**{**row, "change": json.loads(row["change"])})
