"""Some of a project's items, evenly drawn: enough for a chart or a forecast, at any size."""

import json
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from backstay.feedback.collection.certainty import Kept
from backstay.records import content_id
from backstay.storage.console_tables import items

FEW = 32
"""Items for each that is wanted, up to which all are numbered; among a project's others, fewer are met too seldom."""


def sampled_beliefs(connection: Connection, project_id: str, where: ColumnElement[bool], most: int) -> list[Kept]:
    """The ballots of at most `most` items, the same ones until there are others.

    Of few, every so many-th in order of id. Of many, neighbours: ids are hashes, so that they are as even a draw, and
    only they are read.
    """
    mine = (items.c.project == project_id) & where
    count = int(connection.execute(select(func.count()).where(mine)).scalar_one())
    if count <= most * FEW:
        texts = connection.execute(_every(-(-count // most), mine)).scalars().all()
    else:
        start = content_id("item", ["sample", project_id])
        walk = select(items.c.belief).where(mine).order_by(items.c.id)
        texts = connection.execute(walk.where(items.c.id >= start).limit(most)).scalars().all()
        before = walk.where(items.c.id < start).limit(most - len(texts))
        texts = [*texts, *connection.execute(before).scalars()]
    return [json.loads(text) for text in texts]


def _every(step: int, where: ColumnElement[bool]) -> Select[Any]:
    number = func.row_number().over(order_by=items.c.id).label("number")
    numbered: Any = select(items.c.belief, number).where(where).subquery()
    return select(numbered.c.belief).where((numbered.c.number - 1) % max(1, step) == 0)
