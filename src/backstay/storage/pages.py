"""Reading a data set page by page, so that its size does not matter; records come as canonical JSON text.

Pages begin behind the last row of the one before (keyset), never at an offset, so that the last costs as much as the
first.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, select

from backstay.storage.engine import fetch_rows
from backstay.storage.known import chunks
from backstay.storage.tables import RECORD_TABLES, judgments, prompts, tasks

PAGE = 1000
Row = Sequence[Any]


def judgment_pages(connection: Connection, dataset: str, size: int = PAGE) -> Iterator[list[Row]]:
    """Judgments in the order in which they were appended: seq, and records of judgment, task and prompt.

    What is appended after the first page is not read.
    """
    end = connection.execute(select(func.max(judgments.c.seq)).where(judgments.c.dataset == dataset)).scalar()
    task = and_(tasks.c.dataset == judgments.c.dataset, tasks.c.id == judgments.c.task_id)
    prompt = and_(prompts.c.dataset == tasks.c.dataset, prompts.c.id == tasks.c.prompt_id)
    query = (
        select(judgments.c.seq, judgments.c.record, tasks.c.record, prompts.c.record)
        .select_from(judgments.join(tasks, task).join(prompts, prompt))
        # An expression keeps SQLite from the index on the data set, by which it would sort everything for every page.
        .where(judgments.c.dataset + "" == dataset, judgments.c.seq > bindparam("after"), judgments.c.seq <= (end or 0))
        .order_by(judgments.c.seq)
        .limit(size)
    )
    yield from _pages(connection, query, 0, size)


def prompt_pages(connection: Connection, dataset: str, size: int = PAGE) -> Iterator[list[Row]]:
    """Prompts in order of id: id and record."""
    query = (
        select(prompts.c.id, prompts.c.record)
        .where(prompts.c.dataset == dataset, prompts.c.id > bindparam("after"))
        .order_by(prompts.c.id)
        .limit(size)
    )
    yield from _pages(connection, query, "", size)


def records_by_id(connection: Connection, name: str, dataset: str, ids: Iterable[str]) -> dict[str, str]:
    """Records of a table among `ids`."""
    table = RECORD_TABLES[name][0]
    query = select(table.c.id, table.c.record).where(table.c.dataset == dataset, _among(table.c.id))
    return {row[0]: row[1] for row in _fetch(connection, query, ids)}


def records_by_prompt(connection: Connection, name: str, dataset: str, ids: Iterable[str]) -> list[Row]:
    """Responses or tasks of prompts, in order of id: prompt id and record."""
    table = RECORD_TABLES[name][0]
    query = select(table.c.prompt_id, table.c.record).where(table.c.dataset == dataset, _among(table.c.prompt_id))
    return _fetch(connection, query.order_by(table.c.id), ids)


def judgments_by_task(connection: Connection, dataset: str, ids: Iterable[str]) -> list[Row]:
    """Judgments of tasks in the order in which they were appended: task id and record."""
    query = select(judgments.c.task_id, judgments.c.record).where(
        judgments.c.dataset == dataset, _among(judgments.c.task_id)
    )
    return _fetch(connection, query.order_by(judgments.c.seq), ids)


def _among(column: Any) -> Any:
    return column.in_(bindparam("ids", expanding=True))


def _fetch(connection: Connection, query: Select[Any], ids: Iterable[str]) -> list[Row]:
    return [row for chunk in chunks(ids) for row in fetch_rows(connection, query, {"ids": chunk})]


def _pages(connection: Connection, query: Select[Any], after: Any, size: int) -> Iterator[list[Row]]:
    while True:
        page = list(fetch_rows(connection, query, {"after": after}))
        if page:
            yield page
        if len(page) < size:
            return
        after = page[-1][0]
