"""A project with prompts of our own making, on a database of its own, for tests of collecting."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine

from backstay.feedback.collection import (
    Assignment,
    Project,
    ProjectSettings,
    Submission,
    create_project,
    fill_page,
    issue,
    project_of,
    submit,
)
from backstay.records import Message, Prompt, Response, Task
from backstay.storage import Repository, open_database
from backstay.storage.batch import Batch
from backstay.storage.engine import write_transaction
from backstay.storage.unit import Unit

T = TypeVar("T")
NOON_MS = 1_800_000_000_000
place = ""
"""URL of the database; empty: a file in the folder of the test. Tests that run on every database set it."""


class World:
    """A database, a clock that stands until it is moved, and one project."""

    def __init__(self, engine: Engine, seed: int = 1) -> None:
        self.engine, self.now_ms, self.secret = engine, NOON_MS, seed.to_bytes(16)
        self.repository = Repository(engine)

    def do(self, work: Callable[[Unit], T]) -> T:
        """One unit of work."""
        with write_transaction(self.engine) as connection:
            return work(Unit(connection, Batch(connection), self.now_ms))

    @property
    def project(self) -> Project:
        """The project as it stands."""
        with self.engine.connect() as connection:
            return project_of(connection, "p")

    def next(self, rater: str) -> Assignment:
        """The rater's assignment, which there must be."""
        found = self.do(lambda unit: issue(unit, self.project, rater, self.secret)).assignment
        assert found is not None
        return found

    def judge(self, rater: str, winner: int | None, *, key: str = "") -> Assignment:
        """The rater takes the next task and names the better response by index; None says that they tie."""
        found = self.next(rater)
        sent = verdict(found, winner)
        self.now_ms += 5000
        self.do(lambda unit: submit(unit, found.id, rater, key or f"key-{found.id}", sent, self.secret))
        return found


def verdict(found: Assignment, winner: int | None, *dimensions: str) -> Submission:
    """What a rater sends who prefers the response of this index, wherever it was shown."""
    places = [found.order_shown.index(index) for index in range(len(found.order_shown))]
    ranking = [places] if winner is None else [[places[winner]], [places[1 - winner]]]
    answers = [{"dimension": name, "ranking": ranking} for name in dimensions or ("overall",)]
    return Submission.model_validate({"answers": answers, "duration_ms": 4000})


@contextlib.contextmanager
def world(folder: Path, prompts: int = 5, gold: int = 0, settings: ProjectSettings | None = None) -> Iterator[World]:
    """A project `p` on `prompts` prompts with two responses each; on the first `gold` of them response 0 is gold."""
    engine = open_database(place or folder / "world.db", create=True)
    try:
        found = World(engine)
        fill_dataset(found.repository, prompts, gold)
        chosen = settings or ProjectSettings(gold_share=0.0, repeat_share=0.0)
        project = found.do(lambda unit: create_project(unit, "p", "Project", "d", chosen, "lead"))
        found.do(lambda unit: fill_page(unit, project))
        yield found
    finally:
        engine.dispose()


def fill_dataset(repository: Repository, prompts: int, gold: int = 0, dataset: str = "d") -> None:
    """Prompts that count up, each with two responses and a task."""
    asked = [Prompt.make((Message(role="user", content=f"Question {n}?"),), source="made") for n in range(prompts)]
    texts = [[Response.make(prompt.id, f"Answer {n} to it", policy="m") for n in range(2)] for prompt in asked]
    tasks = [
        Task.make(prompt.id, (pair[0].id, pair[1].id), gold=0 if place < gold else None)
        for place, (prompt, pair) in enumerate(zip(asked, texts, strict=True))
    ]
    with repository.batch() as batch:
        batch.add_prompts(dataset, asked)
        batch.add_responses(dataset, [response for pair in texts for response in pair])
        batch.add_tasks(dataset, tasks)
