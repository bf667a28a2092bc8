"""What the routes of decisions share: who may ask, what they send, and how people and texts are told."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import Depends, Path
from sqlalchemy import Connection, select

from backstay.feedback.collection.deciders import Decider, Reason
from backstay.feedback.collection.item_history import Texts
from backstay.storage.account_tables import accounts
from backstay.web.api.texts import Body
from backstay.web.gate import Principal, allowed
from backstay.web.permissions import Permission
from backstay.web.rendering import render
from backstay.web.shown import Json

Reviewer = Annotated[Principal, Depends(allowed(Permission.REVIEW))]
Onlooker = Annotated[Principal, Depends(allowed(Permission.READ_PROJECT))]
Proposer = Annotated[Principal, Depends(allowed(Permission.PROPOSE))]
Second = Annotated[Principal, Depends(allowed(Permission.CONFIRM))]
Either = Annotated[Principal, Depends(allowed(Permission.PROPOSE, Permission.CONFIRM))]
Overseer = Annotated[Principal, Depends(allowed(Permission.READ_AUDIT))]
ItemId = Annotated[str, Path(max_length=60)]
Id = Annotated[str, Path(max_length=36)]


class Why(Body):
    """A decision that needs nothing but its reason."""

    reason: Reason


def decider(who: Principal) -> Decider:
    """Who decides, as the decisions know people."""
    return Decider(who.account_id, who.rater_id or None)


def names_of(connection: Connection, ids: Iterable[str | None]) -> dict[str, str]:
    """Names of accounts as they are shown, by id; who is no account is shown by id."""
    wanted = {found for found in ids if found}
    query = select(accounts.c.id, accounts.c.display_name).where(accounts.c.id.in_(wanted))
    return {name: name for name in wanted} | {row.id: row.display_name for row in connection.execute(query)}


def texts_json(texts: Texts, order: Sequence[int] | None = None) -> Json:
    """A prompt and its responses; in an order of indices, which is then not told."""
    places = range(len(texts.responses)) if order is None else order
    return {
        "prompt": [{"role": m.role, "text": m.content, "html": render(m.content)} for m in texts.prompt.messages],
        "responses": [
            {"slot": slot, "text": texts.responses[index].text, "html": render(texts.responses[index].text)}
            for slot, index in enumerate(places)
        ],
    }
