from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Database

from backstay.records import Choice, Judgment, Message, Prompt, Rater, Response, Task
from backstay.storage import Store


class Rows:
    """A small data set: `n` prompts of two responses, one task each, two raters."""

    def __init__(self, n: int) -> None:
        self.prompts = [Prompt.make((Message(role="user", content=f"Question {i}"),), source="test") for i in range(n)]
        self.responses = [
            Response.make(prompt.id, text, policy="test") for prompt in self.prompts for text in ("Yes.", "No.")
        ]
        self.tasks = [
            Task.make(prompt.id, (self.responses[2 * i].id, self.responses[2 * i + 1].id))
            for i, prompt in enumerate(self.prompts)
        ]
        self.raters = [Rater(id="ann", display_name="Ann"), Rater(id="bob", display_name="Bob")]

    def judgment(self, number: int, rater: str = "ann") -> Judgment:
        return Judgment(
            id=f"judgment-{number}",
            task_id=self.tasks[number % len(self.tasks)].id,
            rater_id=rater,
            order_shown=(0, 1),
            choice=Choice.prefer(0, 1),
            created_at="2026-01-01T00:00:00+00:00",
        )

    def judgments(self, count: int) -> list[Judgment]:
        return [self.judgment(number) for number in range(count)]

    def add_to(self, store: Store, dataset: str = "demo") -> None:
        with store.repository.batch() as batch:
            batch.add_prompts(dataset, self.prompts)
            batch.add_responses(dataset, self.responses)
            batch.add_tasks(dataset, self.tasks)
            batch.add_raters(dataset, self.raters)


@pytest.fixture
def rows() -> Rows:
    return Rows(3)


@pytest.fixture
def store(tmp_path: Path, rows: Rows, database: Database) -> Iterator[Store]:
    with Store(tmp_path, create=True) as opened:
        rows.add_to(opened)
        yield opened
