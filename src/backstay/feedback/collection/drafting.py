"""Drafts: better answers that raters wrote. A reviewer, never their author, accepts or refuses each."""

from typing import NamedTuple

from sqlalchemy import Connection, func, select, update

from backstay.feedback.collection.deciders import Decider, stated
from backstay.feedback.collection.project import Project
from backstay.feedback.collection.rejection import Rejected
from backstay.records import Demonstration, Prompt
from backstay.storage.console_tables import drafts
from backstay.storage.tables import prompts
from backstay.storage.unit import Unit

PAGE = 50
WAITING, ACCEPTED, REFUSED = "waiting", "accepted", "refused"


class Draft(NamedTuple):
    """A better answer that a rater wrote out of a response."""

    id: str
    project: str
    prompt_id: str
    response_id: str
    rater_id: str
    text: str
    state: str
    at_ms: int
    reviewed_by: str | None = None
    reviewed_at_ms: int | None = None
    reason: str | None = None


def waiting_drafts(connection: Connection, project: Project, after: str = "", limit: int = PAGE) -> list[Draft]:
    """A page of drafts that wait, oldest first; ids grow with time."""
    where = (drafts.c.project == project.id) & (drafts.c.state == WAITING) & (drafts.c.id > after)
    return [
        Draft(**row)
        for row in connection.execute(select(drafts).where(where).order_by(drafts.c.id).limit(limit)).mappings()
    ]


def count_drafts(connection: Connection, project_id: str) -> int:
    """How many drafts wait."""
    where = (drafts.c.project == project_id) & (drafts.c.state == WAITING)
    return int(connection.execute(select(func.count()).select_from(drafts).where(where)).scalar_one())


def draft_of(connection: Connection, project: Project, draft_id: str) -> Draft:
    """The draft; raises Rejected where the project has none of this id."""
    where = (drafts.c.project == project.id) & (drafts.c.id == draft_id)
    row = connection.execute(select(drafts).where(where)).mappings().first()
    if row is None:
        raise Rejected("not_found", "there is no such draft in this project")
    return Draft(**row)


def accept_draft(unit: Unit, project: Project, draft_id: str, who: Decider) -> Draft:
    """Make a draft a demonstration, which training may imitate. Accepting twice changes nothing. Raises Rejected."""
    draft = _to_review(unit.connection, project, draft_id, who, ACCEPTED, "")
    if draft.state == ACCEPTED:
        return draft
    where = (prompts.c.dataset == project.dataset) & (prompts.c.id == draft.prompt_id)
    prompt = Prompt.from_json(unit.connection.execute(select(prompts.c.record).where(where)).scalar_one())
    source = f"console {project.id}: written by {draft.rater_id}, accepted by {who.account_id}"
    demonstration = Demonstration(prompt=prompt, text=draft.text, source=source)
    unit.batch.add_demonstrations(project.dataset, [demonstration])
    return _reviewed(unit, draft, who, ACCEPTED, "")


def refuse_draft(unit: Unit, project: Project, draft_id: str, who: Decider, reason: str) -> Draft:
    """Refuse a draft; it stays, with the reason. Refusing twice alike changes nothing. Raises Rejected."""
    text = stated(reason)
    draft = _to_review(unit.connection, project, draft_id, who, REFUSED, text)
    return draft if draft.state == REFUSED else _reviewed(unit, draft, who, REFUSED, text)


def _to_review(
    connection: Connection, project: Project, draft_id: str, who: Decider, wanted: str, reason: str
) -> Draft:
    """A draft that waits, or on which the same person has decided just so."""
    draft = draft_of(connection, project, draft_id)
    if who.rater_id and draft.rater_id == who.rater_id:
        raise Rejected("own_item", "you have written this draft yourself", cure="leave it to another reviewer")
    if (draft.state, draft.reviewed_by, draft.reason or "") == (wanted, who.account_id, reason):
        return draft
    if draft.state != WAITING:
        raise Rejected("conflict", f"this draft is {draft.state} already", cure="take the next one of the queue")
    return draft


def _reviewed(unit: Unit, draft: Draft, who: Decider, state: str, reason: str) -> Draft:
    changes = {"state": state, "reviewed_by": who.account_id, "reviewed_at_ms": unit.now_ms, "reason": reason or None}
    unit.connection.execute(update(drafts).where(drafts.c.id == draft.id).values(changes))
    about = {"by": who.account_id, "did": state, "project": draft.project, "draft": draft.id, "rater": draft.rater_id}
    unit.note("console.draft_review", about | {"reason": reason})
    return draft._replace(state=state, reviewed_by=who.account_id, reviewed_at_ms=unit.now_ms, reason=reason or None)
