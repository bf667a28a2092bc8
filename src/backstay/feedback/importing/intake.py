"""Rows in, sound records out: what every importer does with each row, whether records stay in memory or on the disk."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from backstay.errors import ImportRefused
from backstay.feedback.importing.judged import Bundle, JudgedItem, Origin, bundle_of
from backstay.feedback.importing.problems import Problem, RowProblem
from backstay.feedback.importing.rows import SourceRow, problem_of
from backstay.records import Judgment, Prompt, Rater, Record, Response, Task

KEPT_PROBLEMS = 1000
R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Reading:
    """A file being read: its rows, what one row says, and what there is to say about the file at the end."""

    format: str
    rows: Iterable[SourceRow]
    parse: Callable[[dict[str, Any]], JudgedItem | Bundle | None]
    """None where a row is sound and holds no judgment; whoever parses counts it for the notes."""
    heldout_share: float
    notes: Callable[[], tuple[str, ...]] = tuple

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        if not 0.0 <= self.heldout_share < 1.0:
            raise ImportRefused(f"held-out share {self.heldout_share} is not in [0, 1)")


class Shelf(Protocol[R]):
    """Records by key, in the order in which they came."""

    def get(self, key: str) -> R | None:
        """The record under a key."""

    def put(self, key: str, record: R) -> None:
        """Keep a record, in place of an earlier one."""


class MemoryShelf(Generic[R]):
    """A shelf in memory."""

    def __init__(self) -> None:
        self._records: dict[str, R] = {}

    def get(self, key: str) -> R | None:
        """The record under a key."""
        return self._records.get(key)

    def put(self, key: str, record: R) -> None:
        """Keep a record, in place of an earlier one."""
        self._records[key] = record

    def __iter__(self) -> Iterator[R]:
        """Records in order."""
        return iter(self._records.values())


@dataclass(frozen=True)
class Shelves:
    """Where the records of a file are kept while it is read."""

    prompts: Shelf[Prompt]
    responses: Shelf[Response]
    tasks: Shelf[Task]
    raters: Shelf[Rater]
    judgments: Shelf[Judgment]


class Intake:
    """Puts every sound row on the shelves, whole or not at all, and counts the others.

    The first 1000 problems are kept; `refused` is told of every one.
    """

    def __init__(self, origin: Origin, shelves: Shelves, refused: Callable[[Problem], None] | None = None) -> None:
        self._origin, self._shelves, self._refused = origin, shelves, refused
        self.rows = self.problem_count = self.duplicates = 0
        self.problems: list[Problem] = []

    def read(self, reading: Reading) -> None:
        """Take in every row; refuses a file without rows."""
        for row in reading.rows:
            self.rows += 1
            try:
                if row.problem:
                    raise RowProblem(row.problem)
                self._take(row, reading.parse(row.values))
            except RowProblem as problem:
                self._note(problem_of(row, problem))
        if not self.rows:
            raise ImportRefused("the file holds no rows", cure="check that it is the file you mean")

    def _note(self, problem: Problem) -> None:
        self.problem_count += 1
        if len(self.problems) < KEPT_PROBLEMS:
            self.problems.append(problem)
        if self._refused:
            self._refused(problem)

    def _take(self, row: SourceRow, found: JudgedItem | Bundle | None) -> None:
        if found is None:
            return
        bundle = found if isinstance(found, Bundle) else bundle_of(found, row.number, self._origin)
        tasks = [self._settled(task) for task in bundle.tasks]
        self._check_raters(bundle.raters)
        self._keep(bundle, tasks)

    def _keep(self, bundle: Bundle, tasks: Sequence[Task]) -> None:
        shelves = self._shelves
        new = [(key, judgment) for key, judgment in bundle.judgments if shelves.judgments.get(key) is None]
        self.duplicates += len(bundle.judgments) - len(new)
        if bundle.judgments and not new:
            return
        if shelves.prompts.get(bundle.prompt.id) is None:
            shelves.prompts.put(bundle.prompt.id, bundle.prompt)
        for response in bundle.responses:
            if shelves.responses.get(response.id) is None:
                shelves.responses.put(response.id, response)
        for task in tasks:
            if shelves.tasks.get(task.id) != task:
                shelves.tasks.put(task.id, task)
        for rater in bundle.raters:
            if shelves.raters.get(rater.id) is None:
                shelves.raters.put(rater.id, rater)
        for key, judgment in new:
            shelves.judgments.put(key, judgment)

    def _settled(self, task: Task) -> Task:
        """The task with the gold answer that is known of it."""
        earlier = self._shelves.tasks.get(task.id)
        if earlier is None or earlier.gold == task.gold or earlier.gold is None:
            return task
        if task.gold is None:
            return earlier
        raise RowProblem("the gold answer contradicts an earlier row of the same pair", "gold")

    def _check_raters(self, raters: Sequence[Rater]) -> None:
        for rater in raters:
            if (self._shelves.raters.get(rater.id) or rater) != rater:
                raise RowProblem(f"rater {rater.id!r} is described differently in an earlier row", "rater")
