"""What is exported: judgments with all they refer to, read page by page from one snapshot of the database."""

import json
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from backstay.storage.pages import (
    judgment_pages,
    judgments_by_task,
    prompt_pages,
    records_by_id,
    records_by_prompt,
)

Data = dict[str, Any]
_ROWS_A_PAGE = 1000
_PROMPTS_A_PAGE = 200


@dataclass
class Tally:
    """What an export wrote, and what it left out, by reason; it fills while the export is read."""

    written: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Judged:
    """A judgment with its task, prompt, responses (in the task's order) and rater, each as plain data."""

    judgment: Data
    task: Data
    prompt: Data
    responses: list[Data]
    rater: Data

    @property
    def texts(self) -> list[str]:
        """The responses' texts."""
        return [response["text"] for response in self.responses]

    @property
    def ranking(self) -> list[list[int]]:
        """Groups of responses, best first; empty when all are bad."""
        ranking: list[list[int]] = self.judgment["choice"]["ranking"]
        return ranking


@dataclass(frozen=True)
class Item:
    """A prompt with some of its responses, and every judgment on just these, whatever the dimension."""

    prompt: Data
    responses: list[Data]
    judged: list[Judged]


@dataclass(frozen=True)
class Source:
    """A data set of an open database; judgments in `retracted` are left out."""

    connection: Connection
    dataset: str
    tally: Tally
    retracted: Container[str] = ()

    def judged(self) -> Iterator[Judged]:
        """Judgments in the order in which they were appended."""
        raters: dict[str, Data] = {}
        for page in judgment_pages(self.connection, self.dataset, _ROWS_A_PAGE):
            shared = {text: json.loads(text) for text in {text for row in page for text in row[2:]}}
            rows = [(json.loads(row[1]), shared[row[2]], shared[row[3]]) for row in page]
            rows = [row for row in rows if not self._is_retracted(row[0])]
            self._learn_raters(raters, [row[0]["rater_id"] for row in rows])
            ids = (response_id for _, task, _ in rows for response_id in task["response_ids"])
            found = self._by_id("responses", ids)
            for judgment, task, prompt in rows:
                responses = [found[response_id] for response_id in task["response_ids"]]
                yield Judged(judgment, task, prompt, responses, raters[judgment["rater_id"]])

    def items(self) -> Iterator[Item]:
        """Items that were judged, in order of their prompts' ids."""
        raters: dict[str, Data] = {}
        for page in prompt_pages(self.connection, self.dataset, _PROMPTS_A_PAGE):
            prompts = {prompt_id: json.loads(record) for prompt_id, record in page}
            tasks = [json.loads(row[1]) for row in records_by_prompt(self.connection, "tasks", self.dataset, prompts)]
            by_task: dict[str, list[Data]] = {task["id"]: [] for task in tasks}
            for task_id, record in judgments_by_task(self.connection, self.dataset, by_task):
                judgment = json.loads(record)
                if not self._is_retracted(judgment):
                    by_task[task_id].append(judgment)
            self._learn_raters(raters, [one["rater_id"] for found in by_task.values() for one in found])
            yield from self._items(prompts, tasks, by_task, raters)

    def _items(
        self, prompts: dict[str, Data], tasks: list[Data], by_task: dict[str, list[Data]], raters: dict[str, Data]
    ) -> Iterator[Item]:
        groups: dict[tuple[str, ...], list[Data]] = {}
        for task in sorted(tasks, key=lambda task: (task["prompt_id"], task["response_ids"], task["dimension"])):
            if by_task[task["id"]]:
                groups.setdefault((task["prompt_id"], *task["response_ids"]), []).append(task)
        found = self._by_id("responses", (response_id for group in groups for response_id in group[1:]))
        for (prompt_id, *ids), same in groups.items():
            responses = [found[response_id] for response_id in ids]
            judged = [
                Judged(judgment, task, prompts[prompt_id], responses, raters[judgment["rater_id"]])
                for task in same
                for judgment in by_task[task["id"]]
            ]
            yield Item(prompts[prompt_id], responses, judged)

    def _by_id(self, name: str, ids: Iterator[str]) -> dict[str, Data]:
        found = records_by_id(self.connection, name, self.dataset, ids)
        return {key: json.loads(record) for key, record in found.items()}

    def _learn_raters(self, known: dict[str, Data], ids: list[str]) -> None:
        new = (rater_id for rater_id in ids if rater_id not in known)
        known.update(self._by_id("raters", new))

    def _is_retracted(self, judgment: Data) -> bool:
        if judgment["id"] not in self.retracted:
            return False
        self.tally.left_out["taken back by the rater"] += 1
        return True


def is_vote(judged: Judged, tally: Tally) -> bool:
    """Whether a judgment counts as a vote; one that was asked for to see whether a rater is consistent does not."""
    if judged.judgment.get("purpose", "vote") == "vote":
        return True
    tally.left_out["not asked for as a vote"] += 1
    return False
