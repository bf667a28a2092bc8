"""What an importer makes of a file in memory, before anything is stored."""

from dataclasses import dataclass
from pathlib import Path

from backstay.feedback.importing.intake import Intake, MemoryShelf, Reading, Shelves
from backstay.feedback.importing.judged import HELDOUT_SHARE, Origin, split_of
from backstay.feedback.importing.problems import Problem
from backstay.records import Demonstration, Judgment, Prompt, Rater, Response, Task, file_sha256

__all__ = ["HELDOUT_SHARE", "ParsedImport", "parse", "split_of"]


@dataclass(frozen=True)
class ParsedImport:
    """Records of one file; `problems` are the first 1000 refused rows in words, `problem_count` counts all.

    `refused` are the same as data, with line and column.
    """

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
    """Judgments that repeat an earlier one in everything; they count once."""
    notes: tuple[str, ...] = ()
    refused: tuple[Problem, ...] = ()


def parse(path: Path, dataset: str, reading: Reading) -> ParsedImport:
    """Read a whole file into memory; stores nothing."""
    prompts, responses, tasks = MemoryShelf[Prompt](), MemoryShelf[Response](), MemoryShelf[Task]()
    raters, judgments = MemoryShelf[Rater](), MemoryShelf[Judgment]()
    digest = file_sha256(path) if path.is_file() else ""
    intake = Intake(
        Origin(reading.format, digest, reading.heldout_share), Shelves(prompts, responses, tasks, raters, judgments)
    )
    intake.read(reading)
    return ParsedImport(
        format=reading.format,
        path=path.name,
        file_sha256=digest,
        dataset=dataset,
        rows=intake.rows,
        prompts=tuple(prompts),
        responses=tuple(responses),
        tasks=tuple(tasks),
        raters=tuple(raters),
        judgments=tuple(judgments),
        problems=tuple(map(str, intake.problems)),
        problem_count=intake.problem_count,
        duplicates=intake.duplicates,
        notes=reading.notes(),
        refused=tuple(intake.problems),
    )
