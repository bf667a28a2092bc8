"""A project's standing judgments as columns, read page by page: some 20 bytes a vote and a name for each task."""

import json
from array import array
from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from backstay.aggregate.columns import Index, VoteColumns
from backstay.aggregate.votes import Ints
from backstay.feedback.collection import Project
from backstay.storage.console_tables import gold_items, items
from backstay.storage.tables import judgments, retractions

PAGE = 20_000


class ProjectVotes(NamedTuple):
    """Columns of N votes by R raters on I pairs; `dimension` (I) numbers `dimensions`, `seq` (N) is the journal's."""

    columns: VoteColumns
    dimension: Index
    dimensions: tuple[str, ...]
    rater_ids: tuple[str, ...]
    seq: Ints
    judged: Ints
    """Judgments of each rater (R)."""


class _Pairs:
    """Every pair of responses that is asked about, numbered as it comes."""

    def __init__(self) -> None:
        self.first: dict[str, int] = {}
        """The first pair of each task; those of one task follow each other."""
        self.sizes: dict[str, int] = {}
        """Responses of those tasks that have other than two."""
        self.a, self.b, self.gold, self.dimension = array("i"), array("i"), array("b"), array("b")
        self.responses = 0

    def add(self, task_id: str, numbers: list[int], dimension: int, best: int | None) -> None:
        """The pairs of a task on responses of these numbers."""
        self.first[task_id] = len(self.a)
        if len(numbers) != 2:
            self.sizes[task_id] = len(numbers)
        for i, j in combinations(range(len(numbers)), 2):
            self.a.append(numbers[i])
            self.b.append(numbers[j])
            self.dimension.append(dimension)
            self.gold.append((i == best) - (j == best))


class _Votes:
    """Votes in order of the journal."""

    def __init__(self) -> None:
        self.pair, self.rater = array("i"), array("i")
        self.side, self.shown = array("b"), array("b")
        self.share, self.seq = array("f"), array("q")
        self.raters: dict[str, int] = {}
        self.judged = array("q")

    def add(self, seq: int, rater_id: str, record: dict[str, Any], first: int, size: int) -> None:
        """The votes of a judgment; one that does not fit its task is none."""
        ranking = record["choice"]["ranking"]
        rank = {response: place for place, group in enumerate(ranking) for response in group}
        if not record["choice"]["both_bad"] and len(rank) != size:
            return
        rater = self.raters.setdefault(rater_id, len(self.raters))
        if rater == len(self.judged):
            self.judged.append(0)
        self.judged[rater] += 1
        shown = {response: place for place, response in enumerate(record["order_shown"])}
        for n, (i, j) in enumerate(combinations(range(size), 2)):
            self.pair.append(first + n)
            self.rater.append(rater)
            self.side.append(_sign(rank.get(j, 0) - rank.get(i, 0)))
            self.shown.append(_sign(shown[j] - shown[i]) if i in shown and j in shown else 0)
            self.share.append(2.0 / size)
            self.seq.append(seq)


def read_project(connection: Connection, project: Project) -> ProjectVotes:
    """Read all standing votes; of two by one rater on one pair the later counts."""
    pairs = _read_pairs(connection, project)
    votes = _read_votes(connection, project, pairs)
    pair, rater = np.frombuffer(votes.pair, np.int32), np.frombuffer(votes.rater, np.int32)
    n_pairs, n_raters = len(pairs.a), len(votes.raters)
    order = _last_of_each(pair, rater, n_raters)
    columns = VoteColumns(
        start=np.concatenate([[0], np.cumsum(np.bincount(pair[order], minlength=n_pairs))]).astype(np.int64),
        rater=rater[order],
        side=np.frombuffer(votes.side, np.int8)[order],
        shown=np.frombuffer(votes.shown, np.int8)[order],
        share=np.frombuffer(votes.share, np.float32)[order],
        a=np.array(pairs.a, dtype=np.int32),
        b=np.array(pairs.b, dtype=np.int32),
        gold=np.array(pairs.gold, dtype=np.int8),
        n_raters=n_raters,
        n_responses=pairs.responses,
    )
    seq = np.frombuffer(votes.seq, np.int64)[order]
    judged = np.array(votes.judged, dtype=np.int64)
    dimension = np.array(pairs.dimension, dtype=np.int32)
    return ProjectVotes(columns, dimension, project.settings.dimensions, tuple(votes.raters), seq, judged)


def standing(connection: Connection, dataset: str) -> Iterator[tuple[int, str, str, str]]:
    """Journal number, task, rater and record of judgments that were not retracted, in order, a page at a time."""
    gone = set(connection.execute(select(retractions.c.judgment_id).where(retractions.c.dataset == dataset)).scalars())
    columns = (judgments.c.seq, judgments.c.id, judgments.c.task_id, judgments.c.rater_id, judgments.c.record)
    query, after = select(*columns).where(judgments.c.dataset == dataset).order_by(judgments.c.seq).limit(PAGE), 0
    while True:
        page = connection.execute(query.where(judgments.c.seq > after)).all()
        for row in page:
            if row.id not in gone:
                yield row.seq, row.task_id, row.rater_id, row.record
        if len(page) < PAGE:
            return
        after = page[-1].seq
        connection.rollback()  # No transaction lasts: a long one would keep the database from tidying its log.


def settled_gold(connection: Connection, project: Project) -> dict[tuple[str, str], int]:
    """Index of the best response by item and dimension, where a trusted person has settled it."""
    where = (gold_items.c.project == project.id) & (gold_items.c.state != "withdrawn")
    rows = connection.execute(select(gold_items.c.item_id, gold_items.c.dimension, gold_items.c.best).where(where))
    return {(row.item_id, row.dimension): row.best for row in rows}


def each_item(connection: Connection, project_id: str) -> Iterator[Any]:
    """Id, prompt, responses and tasks of every item, by prompt, a page at a time."""
    columns = (items.c.id, items.c.prompt_id, items.c.response_ids, items.c.task_ids)
    query = select(*columns).where(items.c.project == project_id).order_by(items.c.prompt_id, items.c.id).limit(PAGE)
    where = None
    while True:
        page = connection.execute(query if where is None else query.where(where)).all()
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1]
        same = (items.c.prompt_id == last.prompt_id) & (items.c.id > last.id)
        where = (items.c.prompt_id >= last.prompt_id) & ((items.c.prompt_id > last.prompt_id) | same)


def _read_pairs(connection: Connection, project: Project) -> _Pairs:
    gold = settled_gold(connection, project)
    places = {name: place for place, name in enumerate(project.settings.dimensions)}
    pairs, prompt, known = _Pairs(), "", dict[tuple[int, str], int]()
    for row in each_item(connection, project.id):
        if row.prompt_id != prompt:  # Only responses to one prompt are ever compared.
            prompt, known = row.prompt_id, {}
        responses = json.loads(row.response_ids)
        for name, task_id in json.loads(row.task_ids).items():
            if name in places:
                place = places[name]
                for response in responses:
                    if (place, response) not in known:
                        known[place, response] = pairs.responses
                        pairs.responses += 1
                numbers = [known[place, response] for response in responses]
                pairs.add(task_id, numbers, place, gold.get((row.id, name)))
    return pairs


def _read_votes(connection: Connection, project: Project, pairs: _Pairs) -> _Votes:
    votes = _Votes()
    for seq, task_id, rater_id, text in standing(connection, project.dataset):
        first = pairs.first.get(task_id)
        if first is None:
            continue
        record = json.loads(text)
        if record.get("purpose", "vote") == "vote":
            votes.add(seq, rater_id, record, first, pairs.sizes.get(task_id, 2))
    return votes


def _last_of_each(pair: Index, rater: Index, n_raters: int) -> NDArray[np.int64]:
    """Places of the last vote by each rater on each pair, in order of pair and rater."""
    key = pair.astype(np.int64) * max(1, n_raters) + rater
    order = np.argsort(key, kind="stable")
    return order[np.append(key[order][1:] != key[order][:-1], True)] if order.size else order


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
