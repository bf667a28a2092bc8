"""What an importer makes of a file, before anything is stored."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from backstay.errors import ImportRefused
from backstay.feedback.importing.rows import RowProblem, SourceRow, text_of
from backstay.records import (
    Choice,
    Demonstration,
    Dimension,
    Judgment,
    Message,
    Prompt,
    Rater,
    Response,
    Split,
    Task,
    content_id,
    file_sha256,
    sha256_hex,
)

Verdict = Literal["a", "b", "tie", "both_bad"]
KEPT_PROBLEMS = 1000
HELDOUT_SHARE = 0.1
POLICY = "imported"
"""Policy of every imported response: the file does not say who wrote it, and the name must not tell the label."""


@dataclass(frozen=True)
class ParsedImport:
    """Records of one file; `problems` are the first 1000 refused rows as "line 17: ...", `problem_count` counts all."""

    format: str
    path: str
    file_sha256: str
    dataset: str
    rows: int
    prompts: tuple[Prompt, ...]
    responses: tuple[Response, ...]
    tasks: tuple[Task, ...]
    raters: tuple[Rater, ...]
    judgments: tuple[Judgment, ...]
    demonstrations: tuple[Demonstration, ...] = ()
    problems: tuple[str, ...] = ()
    problem_count: int = 0
    duplicates: int = 0
    """Rows that repeat an earlier row in everything; they count once."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgedPair:
    """One row: a rater's verdict between two texts that answer one dialogue."""

    messages: tuple[Message, ...]
    text_a: str
    text_b: str
    verdict: Verdict
    rater: Rater
    dimension: Dimension = "overall"
    gold: Literal["a", "b"] | None = None
    first_shown: Literal["a", "b"] | None = None
    duration_ms: int | None = None
    created_at: str = ""
    rationale: str = ""


def split_of(prompt_id: str, heldout_share: float) -> Split:
    """Held-out or train, by the hash of the prompt id alone, so that every import of a prompt agrees."""
    place = int(sha256_hex(prompt_id.encode())[:13], 16) / 16**13
    return "heldout" if place < heldout_share else "train"


@dataclass
class Collector:
    """Gathers the rows of one file into records; responses stand in order of id, so that their place tells nothing."""

    format: str
    path: Path
    dataset: str
    heldout_share: float
    prompts: dict[str, Prompt] = field(default_factory=dict)
    responses: dict[str, Response] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    raters: dict[str, Rater] = field(default_factory=dict)
    judgments: dict[str, Judgment] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    rows: int = 0
    problem_count: int = 0
    duplicates: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.heldout_share < 1.0:
            raise ImportRefused(f"held-out share {self.heldout_share} is not in [0, 1)")
        self.file_sha256 = file_sha256(self.path) if self.path.is_file() else ""

    def read(self, rows: Iterable[SourceRow], parse: Callable[[dict[str, Any]], JudgedPair]) -> None:
        """Parse every row; what breaks the format is noted with its line number."""
        for row in rows:
            self.rows += 1
            try:
                if row.problem:
                    raise RowProblem(row.problem)
                self._add(row.line, parse(row.values))
            except RowProblem as problem:
                self.problem_count += 1
                if len(self.problems) < KEPT_PROBLEMS:
                    self.problems.append(f"line {row.line}: {problem}")

    def result(self, notes: tuple[str, ...] = ()) -> ParsedImport:
        """Everything that was read; refuses a file without rows."""
        if not self.rows:
            raise ImportRefused(f"{self.path} holds no rows", cure="check that it is the file you mean")
        return ParsedImport(
            format=self.format,
            path=self.path.name,
            file_sha256=self.file_sha256,
            dataset=self.dataset,
            rows=self.rows,
            prompts=tuple(self.prompts.values()),
            responses=tuple(self.responses.values()),
            tasks=tuple(self.tasks.values()),
            raters=tuple(self.raters.values()),
            judgments=tuple(self.judgments.values()),
            problems=tuple(self.problems),
            problem_count=self.problem_count,
            duplicates=self.duplicates,
            notes=notes,
        )

    def _add(self, line: int, pair: JudgedPair) -> None:
        prompt = self._prompt(pair)
        by_letter = {
            "a": Response.make(prompt.id, text_of(pair.text_a, "response"), policy=POLICY),
            "b": Response.make(prompt.id, text_of(pair.text_b, "response"), policy=POLICY),
        }
        if pair.text_a == pair.text_b:
            raise RowProblem("both responses are the same text")
        order = sorted(by_letter, key=lambda letter: by_letter[letter].id)
        task = self._task(pair, prompt, by_letter, order)
        if self.raters.get(pair.rater.id, pair.rater) != pair.rater:
            raise RowProblem(f"rater {pair.rater.id!r} is described differently in an earlier row")
        judgment = _judgment(pair, task, order)
        key = judgment.digest()
        if key in self.judgments:
            self.duplicates += 1
            return
        self.prompts[prompt.id] = prompt
        self.responses.update({response.id: response for response in by_letter.values()})
        self.tasks[task.id] = task
        self.raters[pair.rater.id] = pair.rater
        judgment_id = content_id("judgment", [self.file_sha256, line])
        self.judgments[key] = judgment.model_copy(update={"id": judgment_id})

    def _prompt(self, pair: JudgedPair) -> Prompt:
        if not pair.messages or pair.messages[-1].role != "user":
            raise RowProblem("the dialogue before the responses does not end with a user's turn")
        for message in pair.messages:
            text_of(message.content, "prompt")
        prompt = Prompt.make(pair.messages, source=self.format)
        return prompt.model_copy(update={"split": split_of(prompt.id, self.heldout_share)})

    def _task(self, pair: JudgedPair, prompt: Prompt, by_letter: dict[str, Response], order: list[str]) -> Task:
        ids = (by_letter[order[0]].id, by_letter[order[1]].id)
        gold = None if pair.gold is None else order.index(pair.gold)
        task = Task.make(prompt.id, ids, dimension=pair.dimension, gold=gold)
        earlier = self.tasks.get(task.id)
        if earlier is None or earlier.gold == gold or earlier.gold is None:
            return task
        if gold is None:
            return earlier
        raise RowProblem("the gold answer contradicts an earlier row of the same pair")


def _judgment(pair: JudgedPair, task: Task, order: list[str]) -> Judgment:
    if pair.verdict in order:
        winner = order.index(pair.verdict)
        choice = Choice.prefer(winner, 1 - winner)
    else:
        choice = Choice.tie() if pair.verdict == "tie" else Choice(both_bad=True)
    first = None if pair.first_shown is None else order.index(pair.first_shown)
    return Judgment(
        id="",
        task_id=task.id,
        rater_id=pair.rater.id,
        order_shown=() if first is None else (first, 1 - first),
        choice=choice,
        rationale=pair.rationale,
        duration_ms=pair.duration_ms,
        client="import",
        created_at=pair.created_at,
    )


def import_rater(dataset: str) -> Rater:
    """Stands for everybody behind a file that names no raters."""
    return Rater(id=f"import:{dataset}", display_name=f"all raters of the import {dataset}", role="import")
