"""Disputed items: the queue, one item blind, the verdict, and everything that is known of an item."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import JSONResponse

from backstay.feedback.collection import Item, Rejected, find_item, project_of
from backstay.feedback.collection.adjudicating import (
    Adjudication,
    Settled,
    adjudicate,
    adjudications_of,
    count_disputes,
    dispute_of,
    disputes,
    next_dispute,
    open_dispute,
)
from backstay.feedback.collection.deciders import Reason, has_on_desk, has_rated
from backstay.feedback.collection.gold_keeping import gold_at
from backstay.feedback.collection.item_history import Asked, Said, history_of, texts_of
from backstay.feedback.collection.submission import Answer, iso_time
from backstay.storage.unit import Unit
from backstay.web.api import shapes_decisions as shapes
from backstay.web.api.deciding import After, ItemId, Onlooker, Reviewer, Why, decider, names_of, texts_json
from backstay.web.api.paging import Limit, following
from backstay.web.api.rating import Here, ProjectId
from backstay.web.api.texts import Body
from backstay.web.gate import Principal
from backstay.web.permissions import Permission
from backstay.web.shown import Json

router = APIRouter(prefix="/api/v1/projects/{project}", tags=["review"])
SEES_GOLD = frozenset({Permission.PROPOSE, Permission.CONFIRM})
TAKEN_BEFORE: dict[str, Any] = {"model": shapes.SettledItem, "description": "The same verdict was taken before."}


class VerdictIn(Body):
    """A verdict: one answer for each dimension, in the slots shown, and the round that the page was made for."""

    model_config = Body.model_config | {"strict": False}

    round: Annotated[int, Field(ge=0, le=10**6)]
    answers: Annotated[list[Answer], Field(min_length=1, max_length=4)]
    reason: Reason


@router.get("/disputes", response_model=shapes.Disputes)
async def list_disputes(
    project: ProjectId, who: Reviewer, console: Here, after: After = "", limit: Limit = 100
) -> JSONResponse:
    """Disputed items in order of id, and which of them the caller may decide."""

    def view(connection: Connection) -> Json:
        found = disputes(connection, project_of(connection, project), decider(who), after, limit)
        rows = [{"id": item.id, "votes": item.votes, "may_decide": may} for item, may in found]
        following_id = following(found, limit, lambda row: row[0].id)
        return {"waiting": count_disputes(connection, project), "items": rows, "next": following_id}

    return JSONResponse(await console.read(view))


@router.get("/disputes/{item}", response_model=shapes.Dispute)
async def get_dispute(project: ProjectId, item: ItemId, who: Reviewer, console: Here) -> JSONResponse:
    """One disputed item without its votes, its responses in a random order."""
    return JSONResponse(await console.read(lambda connection: dispute_json(connection, project, item, who)))


@router.post(
    "/disputes/{item}/verdict", status_code=201, response_model=shapes.SettledItem, responses={200: TAKEN_BEFORE}
)
async def post_verdict(project: ProjectId, item: ItemId, body: VerdictIn, who: Reviewer, console: Here) -> JSONResponse:
    """Settle it; the answer holds what the raters had said. The same verdict again is answered with 200."""

    def work(unit: Unit) -> Settled:
        found = project_of(unit.connection, project)
        return adjudicate(unit, found, item, decider(who), body.round, body.answers, body.reason)

    settled = await console.write(work)
    told = await console.read(lambda connection: item_json(connection, project, item, who))
    told["next"] = await console.read(
        lambda connection: next_dispute(connection, project_of(connection, project), decider(who), item)
    )
    return JSONResponse(told, 201 if settled.is_new else 200)


@router.post("/items/{item}/dispute", response_model=shapes.ItemMoved)
async def post_dispute(project: ProjectId, item: ItemId, body: Why, who: Reviewer, console: Here) -> JSONResponse:
    """Have an item decided that raters are done with, or that was settled before."""

    def work(unit: Unit) -> Item:
        return open_dispute(unit, project_of(unit.connection, project), item, decider(who), body.reason)

    return JSONResponse({"id": item, "state": (await console.write(work)).state})


@router.get("/items/{item}", response_model=shapes.Item)
async def get_item(project: ProjectId, item: ItemId, who: Onlooker, console: Here) -> JSONResponse:
    """Everything that is known of an item; without its votes for who may still decide it blind, or is asked now."""
    return JSONResponse(await console.read(lambda connection: item_json(connection, project, item, who)))


def dispute_json(connection: Connection, project_id: str, item_id: str, who: Principal) -> Json:
    """A disputed item as a reviewer sees it before the verdict."""
    project = project_of(connection, project_id)
    found = dispute_of(connection, project, item_id, decider(who))
    shown = texts_json(texts_of(connection, project, found.item), found.order)
    about = {"id": item_id, "project": project_id, "round": found.round, "dimensions": list(found.dimensions)}
    return about | {"waiting": count_disputes(connection, project_id)} | shown


def item_json(connection: Connection, project_id: str, item_id: str, who: Principal) -> Json:
    """An item with its history, as far as the caller may see it now."""
    project = project_of(connection, project_id)
    item = find_item(connection, project_id, item_id)
    if item is None:
        raise Rejected("not_found", "there is no such item in this project")
    asked = has_on_desk(connection, decider(who), project_id, item_id)
    sees_gold = bool(SEES_GOLD & who.permissions) and not asked
    blind = asked or (
        item.state == "disputed"
        and who.may(Permission.REVIEW)
        and not has_rated(connection, decider(who), project_id, item_id)
    )
    decided = adjudications_of(connection, project_id, item_id)
    names = names_of(connection, [found.person for found in decided])
    shown = texts_json(texts_of(connection, project, item))
    return shown | {
        "id": item.id,
        "project": project_id,
        "state": item.state,
        "votes": item.votes,
        "dimensions": list(item.task_ids),
        "task_ids": item.task_ids,
        "response_ids": list(item.response_ids),
        "priority": item.priority,
        "blind": blind,
        "counts": {} if blind else item.counts,
        "history": [] if blind else [_asked_json(one, sees_gold) for one in history_of(connection, project, item)],
        "adjudications": [] if blind else [_adjudication_json(found, names) for found in decided],
        "gold": _gold_json(connection, item) if sees_gold else {},
    }


def _gold_json(connection: Connection, item: Item) -> Json:
    found = {name: gold_at(connection, item.project, item.id, name) for name in item.task_ids}
    return {name: {"best": gold.best, "state": gold.state} for name, gold in found.items() if gold is not None}


def _asked_json(asked: Asked, sees_gold: bool) -> Json:
    """Purpose and strategy would tell a gold item."""
    why = {"purpose": asked.purpose, "strategy": asked.strategy, "propensity": asked.propensity} if sees_gold else {}
    return {
        "rater": asked.rater_id,
        "state": asked.state,
        "order_shown": list(asked.order_shown),
        "guidelines_version": asked.guidelines_version,
        "issued_at": iso_time(asked.issued_at_ms),
        "settled_at": iso_time(asked.settled_at_ms) if asked.settled_at_ms else None,
        "skipped": asked.skipped,
        "said": [_said_json(said) for said in asked.said],
        **why,
    }


def _said_json(said: Said) -> Json:
    kept = ("id", "choice", "strength", "flags", "rationale", "duration_ms", "client", "created_at")
    payload = said.judgment.payload()
    told = {key: payload[key] for key in kept} | {"spans": payload.get("spans", [])}
    places = {"seq": said.seq, "hash": said.hash, "retracted_seq": said.retracted_seq}
    return told | places | {"dimension": said.dimension, "label": label_of_choice(payload["choice"])}


def label_of_choice(choice: Json) -> str:
    """A verdict in words, by the letters that an item page gives its responses."""
    if choice["both_bad"]:
        return "all bad"
    return " > ".join(" = ".join(LETTERS[index] for index in group) for group in choice["ranking"])


def _adjudication_json(found: Adjudication, names: dict[str, str]) -> Json:
    told = found.choice.payload()
    about = {"dimension": found.dimension, "choice": told, "label": label_of_choice(told), "reason": found.reason}
    return about | {"person": found.person, "name": names[found.person], "at": iso_time(found.at_ms)}


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"
"""Of responses by index; there are 32 at most."""
