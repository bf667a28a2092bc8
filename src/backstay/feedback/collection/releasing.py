"""Releasing a quarantined pair by two people: the second one's word writes the review that screening honours."""

from sqlalchemy import Connection, select

from backstay.feedback.collection.deciders import Decider, has_rated
from backstay.feedback.collection.proposing import Proposal, decide, propose
from backstay.feedback.collection.rejection import Rejected
from backstay.records import Pair
from backstay.storage.console_tables import items, projects
from backstay.storage.unit import Unit


def project_on(connection: Connection, dataset: str) -> str:
    """The first project that collects on a data set. Raises Rejected where there is none."""
    where = select(projects.c.id).where(projects.c.dataset == dataset).order_by(projects.c.id).limit(1)
    found = connection.execute(where).scalar()
    if found is None:
        raise Rejected(
            "not_found",
            f"no project collects on data set {dataset[:60]!r}",
            cure="make one, or use `backstay quarantine release` at the terminal",
        )
    return str(found)


def propose_release(unit: Unit, project_id: str, pair: Pair, run: str, who: Decider, reason: str) -> Proposal:
    """Propose that training may use a quarantined pair. Raises Rejected for a pair that is not quarantined."""
    if pair.status != "quarantined":
        raise Rejected("conflict", f"this pair is {pair.status}, not quarantined")
    reasons = [f"{found.scanner}: {found.kind}" for found in pair.findings]
    about = {"prompt": pair.prompt_id, "a": pair.a, "b": pair.b, "dimension": pair.dimension}
    return propose(
        unit, "release", project_id, pair.id, {"do": "release", "run": run, "findings": reasons} | about, who, reason
    )


def confirm_release(unit: Unit, proposal: Proposal, who: Decider, reason: str) -> Proposal:
    """Write the review, in both names. Raises Rejected: two_persons, own_item, conflict."""
    _check_no_rater(unit.connection, proposal, who)
    decided = decide(unit, proposal, who, "confirmed", reason)
    if decided is None:
        return proposal
    told = f"{proposal.reason} — confirmed: {decided.second_reason}"
    unit.batch.add_review(proposal.subject, "release", f"{proposal.person} and {who.account_id}", told)
    return decided


def refuse_release(unit: Unit, proposal: Proposal, who: Decider, reason: str) -> Proposal:
    """Leave the pair in quarantine. Raises Rejected as confirming does."""
    _check_no_rater(unit.connection, proposal, who)
    return decide(unit, proposal, who, "refused", reason) or proposal


def _check_no_rater(connection: Connection, proposal: Proposal, who: Decider) -> None:
    """Raises Rejected for somebody who rated the prompt of the pair in any project on its data set."""
    dataset = select(projects.c.dataset).where(projects.c.id == proposal.project).scalar_subquery()
    same = select(items.c.project, items.c.id).join(projects, projects.c.id == items.c.project)
    where = (projects.c.dataset == dataset) & (items.c.prompt_id == proposal.change["prompt"])
    if any(has_rated(connection, who, row.project, row.id) for row in connection.execute(same.where(where))):
        raise Rejected("own_item", "you have rated this prompt yourself", cure="leave it to somebody else")
