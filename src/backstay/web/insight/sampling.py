"""Some of a project's items, evenly drawn: enough for a chart or a forecast, at any size."""

import json
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from backstay.feedback.collection.certainty import Kept
from backstay.storage.console_tables import items


def sampled_beliefs(connection: Connection, project_id: str, where: ColumnElement[bool], most: int) -> list[Kept]:
    """The ballots of at most `most` items, every so many-th in order of id."""
    mine = (items.c.project == project_id) & where
    count = int(connection.execute(select(func.count()).where(mine)).scalar_one())
    every = -(-count // most)
    number = func.row_number().over(order_by=items.c.id).label("number")
    numbered: Any = select(items.c.belief, number).where(mine).subquery()
    query = select(numbered.c.belief).where((numbered.c.number - 1) % max(1, every) == 0)
    return [json.loads(text) for text in connection.execute(query).scalars()]
