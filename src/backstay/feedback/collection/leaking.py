"""Gold that raters have told each other: looked for as answers come in, and retired when they became too good.

The test is `feedback.selection.has_leaked`. A rater's accuracy is the share of right answers on the other gold that the
rater saw, drawn to what a new rater counts as.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, select, update

from backstay.feedback.collection.items import Item
from backstay.feedback.collection.raters import PRIOR_RIGHT, PRIOR_WRONG
from backstay.feedback.selection.gold import has_leaked, look_level
from backstay.storage.console_tables import assignments, gold_items, rater_stats
from backstay.storage.unit import Unit

BY = "console"
"""Who retires what has leaked, as the journal names it."""

LEVEL = 0.01
"""Probability with which gold that has not leaked is ever retired."""

MOST_ANSWERS = 8192
"""Answers on a gold item behind which nobody looks any more: the work grows with their square."""


def retire_leaked(unit: Unit, item: Item, dimensions: Iterable[str]) -> bool:
    """Look at an item's gold along these dimensions where a look is due; whether it was retired, along all of them."""
    for dimension in dimensions:
        if not _is_due(unit.connection, item, dimension):
            continue
        answers = _answers(unit.connection, item, dimension)
        if _leaked(unit.connection, item, answers):
            _retire(unit, item, dimension, [is_right for _, is_right in answers])
            return True
    return False


def _is_due(connection: Connection, item: Item, dimension: str) -> bool:
    where = _of(item) & (gold_items.c.dimension == dimension) & (gold_items.c.state == "active")
    exposures = connection.execute(select(gold_items.c.exposures).where(where)).scalar()
    return exposures is not None and exposures <= MOST_ANSWERS and look_level(exposures, LEVEL) > 0.0


def _answers(connection: Connection, item: Item, dimension: str) -> list[tuple[str, bool]]:
    """Rater, and whether the answer was right, of all answers that stand, in order."""
    mine = (assignments.c.project == item.project) & (assignments.c.item_id == item.id)
    query = select(assignments.c.rater_id, assignments.c.answer).where(mine, assignments.c.state == "judged")
    rows = connection.execute(query.order_by(assignments.c.settled_at_ms, assignments.c.id))
    marked = [(row.rater_id, json.loads(row.answer or "{}").get("gold", {})) for row in rows]
    return [(rater, bool(gold[dimension])) for rater, gold in marked if dimension in gold]


def _leaked(connection: Connection, item: Item, answers: Sequence[tuple[str, bool]]) -> bool:
    accuracy = _accuracy(connection, item, answers)
    right = np.array([is_right for _, is_right in answers], dtype=np.bool_)
    return has_leaked(right, np.array([accuracy[rater] for rater, _ in answers]), LEVEL)


def _accuracy(connection: Connection, item: Item, answers: Sequence[tuple[str, bool]]) -> dict[str, float]:
    """Of each rater on gold but this item's."""
    columns = (rater_stats.c.rater_id, rater_stats.c.gold_seen, rater_stats.c.gold_right)
    here = dict(answers)
    where = (rater_stats.c.project == item.project) & rater_stats.c.rater_id.in_(list(here))
    rows = connection.execute(select(*columns).where(where))
    counts = {row.rater_id: (row.gold_seen - 1, row.gold_right - here[row.rater_id]) for row in rows}
    prior = PRIOR_RIGHT + PRIOR_WRONG
    return {rater: (max(0, right) + PRIOR_RIGHT) / (max(0, seen) + prior) for rater, (seen, right) in counts.items()}


def _retire(unit: Unit, item: Item, dimension: str, right: Sequence[bool]) -> None:
    """What somebody knows of an item they know along every dimension."""
    half = len(right) // 2
    why = (
        f"leaked: of the first {half} answers along {dimension} {sum(right[:half])} were right, "
        f"of the last {len(right) - half} {sum(right[half:])}"
    )
    active = _of(item) & (gold_items.c.state == "active")
    for row in unit.connection.execute(select(gold_items.c.dimension, gold_items.c.best).where(active)).all():
        told: dict[str, Any] = {"by": BY, "did": "retire", "project": item.project, "item": item.id, "reason": why}
        before = {"best": row.best, "state": "active"}
        unit.note("console.gold", told | {"dimension": row.dimension, "best": None, "before": before})
    changes = {"state": "retired", "author": BY, "at_ms": unit.now_ms, "why": why}
    unit.connection.execute(update(gold_items).where(active).values(changes))


def _of(item: Item) -> Any:
    return (gold_items.c.project == item.project) & (gold_items.c.item_id == item.id)
