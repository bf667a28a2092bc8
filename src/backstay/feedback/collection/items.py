"""Items: one prompt with its responses, which is asked along every dimension of the project at once."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, bindparam, insert, select

from backstay.feedback.collection.project import Project
from backstay.feedback.tasks import distinct_texts
from backstay.records import Dimension, Response, Task, canonical_json, content_id, sha256_hex
from backstay.storage.console_tables import gold_items, items
from backstay.storage.decisions import gold_decisions, with_gold
from backstay.storage.tables import prompts, responses, tasks
from backstay.storage.unit import Unit

NEW = 10.0
"""Priority of an item without a vote."""

PAGE = 200
"""Prompts that one unit of work turns into items, so that raters never wait long for it."""

_PLACE_BITS = 62


_FIND = select(items).where(items.c.project == bindparam("of"), items.c.id == bindparam("item"))
"""Statements of the way of an answer are built once: that costs more than SQLite takes to run them."""


class Item(NamedTuple):
    """An item as it stands. By dimension: `counts` of answers, and the ballots of `certainty` as its `belief`."""

    project: str
    id: str
    prompt_id: str
    response_ids: tuple[str, ...]
    task_ids: dict[Dimension, str]
    state: str
    votes: int
    wants: int
    leased: int
    counts: dict[str, dict[str, int]]
    belief: dict[str, list[list[str | float]]]
    priority: float


class Filled(NamedTuple):
    """What a page of prompts gave, and the prompt after which the next page begins."""

    items: int
    after: str | None


def fill_page(unit: Unit, project: Project, after: str = "") -> Filled:
    """Make items out of the next prompts of the project's data set: of its tasks, or of new pairs where it has none.

    Items that stand already are left alone, so it may be called again when the data set has grown.
    """
    names = (
        select(prompts.c.id)
        .where(prompts.c.dataset == project.dataset, prompts.c.id > after)
        .order_by(prompts.c.id)
        .limit(PAGE)
    )
    page = list(unit.connection.execute(names).scalars())
    found = sum(
        _fill_prompt(unit, project, prompt_id, stored) for prompt_id, stored in _with_tasks(unit, project, page)
    )
    return Filled(found, page[-1] if len(page) == PAGE else None)


def item_of(row: RowMapping | Mapping[str, Any]) -> Item:
    """A row of the table by names of columns."""
    return Item(
        project=row["project"],
        id=row["id"],
        prompt_id=row["prompt_id"],
        response_ids=tuple(json.loads(row["response_ids"])),
        task_ids=json.loads(row["task_ids"]),
        state=row["state"],
        votes=row["votes"],
        wants=row["wants"],
        leased=row["leased"],
        counts=json.loads(row["counts"]),
        belief=json.loads(row["belief"]),
        priority=row["priority"],
    )


def find_item(connection: Connection, project_id: str, item_id: str) -> Item | None:
    """The item, or None."""
    row = connection.execute(_FIND, {"of": project_id, "item": item_id}).mappings().first()
    return None if row is None else item_of(row)


def item_page(
    connection: Connection, project_id: str, state: str = "", after: str = "", limit: int = 100
) -> list[Item]:
    """Items of a project in order of id, all of them or those of one state."""
    where = (items.c.project == project_id) & (items.c.id > after)
    query = select(items).where(where if not state else where & (items.c.state == state))
    return [item_of(row) for row in connection.execute(query.order_by(items.c.id).limit(limit)).mappings()]


def as_json(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """How the tables hold lists and objects."""
    return canonical_json(value).decode()


def _with_tasks(unit: Unit, project: Project, page: Sequence[str]) -> Iterator[tuple[str, list[Task]]]:
    query = select(tasks.c.record).where(tasks.c.dataset == project.dataset, tasks.c.prompt_id.in_(page))
    by_prompt: dict[str, list[Task]] = {prompt_id: [] for prompt_id in page}
    stored = [Task.from_json(record) for record in unit.connection.execute(query.order_by(tasks.c.id)).scalars()]
    for task in with_gold(stored, gold_decisions(unit.connection, project.dataset)):
        by_prompt[task.prompt_id].append(task)
    yield from by_prompt.items()


def _fill_prompt(unit: Unit, project: Project, prompt_id: str, stored: Sequence[Task]) -> int:
    shown = dict.fromkeys(task.response_ids for task in stored) or _new_pairs(unit, project, prompt_id)
    gold = {(task.response_ids, task.dimension): task.gold for task in stored if task.gold is not None}
    known = {task.id for task in stored}
    made = 0
    for response_ids in shown:
        wanted = [Task.make(prompt_id, response_ids, dimension=name) for name in project.settings.dimensions]
        unit.batch.add_tasks(project.dataset, [task for task in wanted if task.id not in known])
        made += _add_item(unit, project, wanted, gold)
    return made


def _new_pairs(unit: Unit, project: Project, prompt_id: str) -> list[tuple[str, ...]]:
    """One pair of the prompt's first two distinct responses."""
    query = select(responses.c.record).where(responses.c.dataset == project.dataset, responses.c.prompt_id == prompt_id)
    found = [Response.from_json(record) for record in unit.connection.execute(query.order_by(responses.c.id)).scalars()]
    ids = [response.id for response in distinct_texts(found)]
    return [tuple(ids[:2])] if len(ids) >= 2 else []


def _add_item(
    unit: Unit, project: Project, wanted: Sequence[Task], gold: Mapping[tuple[tuple[str, ...], Dimension], int]
) -> int:
    first = wanted[0]
    item_id = content_id("item", [first.prompt_id, list(first.response_ids)])
    if find_item(unit.connection, project.id, item_id):
        return 0
    row = {
        "project": project.id,
        "id": item_id,
        "prompt_id": first.prompt_id,
        "response_ids": as_json(list(first.response_ids)),
        "task_ids": as_json({task.dimension: task.id for task in wanted}),
        "state": "open",
        "votes": 0,
        "wants": project.settings.votes,
        "leased": 0,
        "counts": "{}",
        "belief": "{}",
        "priority": NEW,
        "place": int(sha256_hex(f"{project.id} {item_id}".encode())[:16], 16) >> (64 - _PLACE_BITS),
    }
    unit.connection.execute(insert(items), [row])
    known = [(task.dimension, gold[task.response_ids, task.dimension]) for task in wanted if _is_gold(task, gold)]
    if known:
        rows = [gold_row(unit, project, item_id, dimension, best) for dimension, best in known]
        unit.connection.execute(insert(gold_items), rows)
    return 1


def _is_gold(task: Task, gold: Mapping[tuple[tuple[str, ...], Dimension], int]) -> bool:
    return (task.response_ids, task.dimension) in gold


def gold_row(unit: Unit, project: Project, item_id: str, dimension: str, best: int) -> dict[str, Any]:
    """A row of the table of gold for what a data set brought with it."""
    return {
        "project": project.id,
        "item_id": item_id,
        "dimension": dimension,
        "best": best,
        "state": "active",
        "exposures": 0,
        "right": 0,
        "author": project.created_by,
        "at_ms": unit.now_ms,
        "why": "",
    }
