"""What people decided in the console, as records have it: adjudications as audits, and gold that was changed.

Records are immutable, so a decision stands beside them and is laid over them when they are read.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select

from backstay.records import Audit, Choice, Dimension, Task
from backstay.storage.console_tables import adjudications, gold_items, items, projects

NO_GOLD = "withdrawn"


def adjudicated(connection: Connection, dataset: str) -> list[Audit]:
    """The last adjudication of each item and dimension, as one audit for each two responses of which one is better.

    A verdict that two responses tie, or that all are bad, names no better one and gives no audit. Where two projects on
    the data set say different things of one pair, the later one holds. In order of the pair.
    """
    chosen = select(
        items.c.prompt_id,
        items.c.response_ids,
        adjudications.c.dimension,
        adjudications.c.choice,
        adjudications.c.person,
    )
    query = chosen.join_from(adjudications, items, _same_item(adjudications)).join(
        projects, projects.c.id == adjudications.c.project
    )
    rows = connection.execute(
        query.where(projects.c.dataset == dataset).order_by(adjudications.c.at_ms, adjudications.c.id)
    )
    found: dict[tuple[str, str, str, Dimension], Audit | None] = {}
    for row in rows:
        found.update(_answers(row))
    return [audit for _, audit in sorted(found.items()) if audit is not None]


def gold_decisions(connection: Connection, dataset: str) -> dict[str, int | None]:
    """Index of the best response by task id, as the console has it; None where the gold was withdrawn.

    Gold that was taken over from a task's record says what the record says. Of two projects the later decision holds.
    """
    columns = (items.c.task_ids, gold_items.c.dimension, gold_items.c.best, gold_items.c.state)
    query = (
        select(*columns)
        .join_from(gold_items, items, _same_item(gold_items))
        .join(projects, projects.c.id == gold_items.c.project)
    )
    order = (gold_items.c.at_ms, gold_items.c.project)
    rows = connection.execute(query.where(projects.c.dataset == dataset).order_by(*order))
    return {
        json.loads(row.task_ids)[row.dimension]: None if row.state == NO_GOLD else row.best
        for row in rows
        if row.dimension in json.loads(row.task_ids)
    }


def with_gold(tasks: Sequence[Task], decided: dict[str, int | None]) -> list[Task]:
    """The tasks with the gold that was decided; a task that nobody decided on stays as it is."""
    return [
        task.model_copy(update={"gold": decided[task.id]}) if decided.get(task.id, task.gold) != task.gold else task
        for task in tasks
    ]


def _same_item(table: Any) -> Any:
    return (table.c.project == items.c.project) & (table.c.item_id == items.c.id)


def _answers(row: Any) -> Iterator[tuple[tuple[str, str, str, Dimension], Audit | None]]:
    """Every two responses of the item with what is said of them; None where neither is better."""
    ids: list[str] = json.loads(row.response_ids)
    choice = Choice.model_validate_json(row.choice)
    rank = {index: place for place, group in enumerate(choice.ranking) for index in group}
    for first, a in enumerate(ids):
        for second, b in enumerate(ids[first + 1 :], start=first + 1):
            low, high = sorted((a, b))
            key = (row.prompt_id, low, high, row.dimension)
            if choice.both_bad or rank[first] == rank[second]:
                yield key, None
                continue
            better = "a" if rank[first] < rank[second] else "b"
            yield key, Audit(prompt_id=row.prompt_id, a=a, b=b, dimension=row.dimension, better=better, by=row.person)
