"""Who decides, and what keeps somebody from deciding: having had a part in what is decided."""

from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field
from sqlalchemy import Connection, select

from backstay.errors import UsageError
from backstay.feedback.collection.submission import storable
from backstay.storage.console_tables import assignments

MAX_REASON = 2000
Reason = Annotated[str, Field(min_length=1, max_length=MAX_REASON), AfterValidator(storable)]
"""Why somebody decides so; it stands in the journal."""

_TOUCHED = ("open", "judged", "retracted")
"""States of an assignment whose rater has given a verdict, or is about to."""


class Decider(NamedTuple):
    """Somebody who decides: the account that the journal names, and the rater that the same person rates as."""

    account_id: str
    rater_id: str | None = None


def has_rated(connection: Connection, who: Decider, project_id: str, item_id: str) -> bool:
    """Whether somebody judged the item, took a judgment of it back, or has it on the desk."""
    if not who.rater_id:
        return False
    where = (
        (assignments.c.project == project_id)
        & (assignments.c.item_id == item_id)
        & (assignments.c.rater_id == who.rater_id)
        & assignments.c.state.in_(_TOUCHED)
    )
    return connection.execute(select(assignments.c.id).where(where).limit(1)).first() is not None


def has_on_desk(connection: Connection, who: Decider, project_id: str, item_id: str) -> bool:
    """Whether somebody is being asked about the item now."""
    where = (
        (assignments.c.project == project_id)
        & (assignments.c.item_id == item_id)
        & (assignments.c.rater_id == who.rater_id)
        & (assignments.c.state == "open")
    )
    return who.rater_id is not None and connection.execute(select(assignments.c.id).where(where)).first() is not None


def stated(reason: str) -> str:
    """The reason without the space around it; raises UsageError for none, and for one that cannot be kept."""
    text = reason.strip()
    if not text or len(text) > MAX_REASON:
        raise UsageError(f"a decision has a reason of 1 to {MAX_REASON} characters", cure="say why")
    try:
        return storable(text)
    except ValueError as error:
        raise UsageError(f"this reason cannot be stored: {error}") from error
