"""Everything that is known of an item: who said what of it, when, why they were asked, and where the journal has it."""

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from backstay.feedback.collection.items import Item
from backstay.feedback.collection.project import Project
from backstay.records import Judgment, Prompt, Response, Retraction
from backstay.storage.console_tables import assignments
from backstay.storage.tables import judgments, prompts, responses, retractions

MOST = 500
"""Assignments of one item that are shown."""


class Said(NamedTuple):
    """A judgment with its places in the journal; `retracted_seq` is None while it stands."""

    judgment: Judgment
    dimension: str
    seq: int
    hash: str
    retracted_seq: int | None


class Asked(NamedTuple):
    """One assignment of the item, and the judgments that came of it."""

    assignment_id: str
    rater_id: str
    purpose: str
    strategy: str
    propensity: float
    order_shown: tuple[int, ...]
    guidelines_version: int
    issued_at_ms: int
    settled_at_ms: int | None
    state: str
    skipped: dict[str, str] | None
    said: tuple[Said, ...]


class Texts(NamedTuple):
    """What an item is about; responses are in the order of its indices."""

    prompt: Prompt
    responses: tuple[Response, ...]


def texts_of(connection: Connection, project: Project, item: Item) -> Texts:
    """The prompt and the responses of an item."""
    return read_texts(connection, project.dataset, item.prompt_id, item.response_ids)


def read_texts(connection: Connection, dataset: str, prompt_id: str, response_ids: tuple[str, ...]) -> Texts:
    """A prompt and responses by id."""
    asked = select(prompts.c.record).where(prompts.c.dataset == dataset, prompts.c.id == prompt_id)
    query = select(responses.c.id, responses.c.record).where(
        responses.c.dataset == dataset, responses.c.id.in_(response_ids)
    )
    found = {row.id: Response.from_json(row.record) for row in connection.execute(query)}
    prompt = Prompt.from_json(connection.execute(asked).scalar_one())
    return Texts(prompt, tuple(found[response_id] for response_id in response_ids))


def history_of(connection: Connection, project: Project, item: Item) -> list[Asked]:
    """Every assignment of the item in order of issue, the first `MOST`."""
    where = (assignments.c.project == project.id) & (assignments.c.item_id == item.id)
    query = select(assignments).where(where).order_by(assignments.c.issued_at_ms, assignments.c.id).limit(MOST)
    rows = connection.execute(query).all()
    ids = [found for row in rows for found in json.loads(row.judgment_ids or "[]")]
    said = _said(connection, project.dataset, item, ids)
    return [_asked(row, said) for row in rows]


def _said(connection: Connection, dataset: str, item: Item, ids: list[str]) -> dict[str, Said]:
    dimension_of = {task_id: name for name, task_id in item.task_ids.items()}
    back: dict[str, int] = {}
    query = select(retractions.c.seq, retractions.c.record).where(
        retractions.c.dataset == dataset, retractions.c.judgment_id.in_(ids)
    )
    for taken in connection.execute(query):
        back[Retraction.from_json(taken.record).judgment_id] = taken.seq
    columns = (judgments.c.id, judgments.c.record, judgments.c.seq, judgments.c.hash)
    wanted = select(*columns).where(judgments.c.dataset == dataset, judgments.c.id.in_(ids))
    found: dict[str, Said] = {}
    for row in connection.execute(wanted):
        judgment = Judgment.from_json(row.record)
        found[row.id] = Said(judgment, dimension_of.get(judgment.task_id, ""), row.seq, row.hash, back.get(row.id))
    return found


def _asked(row: Any, said: dict[str, Said]) -> Asked:
    answer = json.loads(row.answer or "{}")
    return Asked(
        assignment_id=row.id,
        rater_id=row.rater_id,
        purpose=row.purpose,
        strategy=row.strategy,
        propensity=row.propensity,
        order_shown=tuple(json.loads(row.order_shown)),
        guidelines_version=row.guidelines_version,
        issued_at_ms=row.issued_at_ms,
        settled_at_ms=row.settled_at_ms,
        state=row.state,
        skipped={"reason": answer["reason"], "note": answer["note"]} if row.state == "skipped" and answer else None,
        said=tuple(said[found] for found in json.loads(row.judgment_ids or "[]") if found in said),
    )
