"""Rating tasks out of production traffic, as `backstay guard harvest` writes them: pairs of answers, judged or not yet.

Votes are clients' thumbs: judgments by untrusted raters, never gold. Training sees none of it before `aggregate` and
`screen` have.
"""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from backstay.errors import ImportRefused
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.parsed import HELDOUT_SHARE, ParsedImport, split_of
from backstay.feedback.importing.rows import RowProblem, read_rows, text_of
from backstay.records import Choice, Judgment, Prompt, Rater, Response, Task, content_id, file_sha256
from backstay.records.production import CLIENT, LABEL, REFERENCE, Offered, ProductionTask, Vote

FORMAT = "production"
KEPT_PROBLEMS = 1000


def read_production(
    path: Path, *, dataset: str, heldout_share: float = HELDOUT_SHARE, limits: ReadLimits | None = None
) -> ParsedImport:
    """Parse a tasks.jsonl; stores nothing."""
    found = _Found(dataset, heldout_share)
    rows = problems = 0
    told: list[str] = []
    for row in read_rows(path, "jsonl", limits or ReadLimits()):
        rows += 1
        try:
            if row.problem:
                raise RowProblem(row.problem)
            found.add(_parsed(row.values))
        except RowProblem as problem:
            problems += 1
            if len(told) < KEPT_PROBLEMS:
                told.append(f"line {row.line}: {problem}")
    if not rows:
        raise ImportRefused(f"{path} holds no rows", cure="check that it is a tasks.jsonl of backstay guard harvest")
    return found.result(path, rows, tuple(told), problems)


def _parsed(values: dict[str, Any]) -> ProductionTask:
    try:
        task = ProductionTask.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise RowProblem(f"{'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']}") from error
    if task.messages[-1].role != "user":
        raise RowProblem("the dialogue before the responses does not end with a user's turn")
    for text in (*(m.content for m in task.messages), *(r.text for r in task.responses)):
        text_of(text, "text")
    if task.responses[0].text == task.responses[1].text:
        raise RowProblem("both responses are the same text")
    return task


class _Found:
    """Records by id; of equal ones the first counts."""

    def __init__(self, dataset: str, heldout_share: float) -> None:
        if not 0.0 <= heldout_share < 1.0:
            raise ImportRefused(f"held-out share {heldout_share} is not in [0, 1)")
        self._dataset, self._heldout_share = dataset, heldout_share
        self._prompts: dict[str, Prompt] = {}
        self._responses: dict[str, Response] = {}
        self._tasks: dict[str, Task] = {}
        self._raters: dict[str, Rater] = {}
        self._judgments: dict[str, Judgment] = {}

    def add(self, given: ProductionTask) -> None:
        """Take in one task with its votes."""
        prompt = Prompt.make(given.messages, source=FORMAT, tags={"label": LABEL})
        prompt = prompt.model_copy(update={"split": split_of(prompt.id, self._heldout_share)})
        responses = [response_of(prompt.id, one) for one in given.responses]
        # In order of id, so that the place of an answer tells nothing.
        order = sorted((0, 1), key=lambda place: responses[place].id)
        ids = tuple(responses[place].id for place in order)
        task = Task.make(prompt.id, ids, dimension=given.dimension, wanted=given.wanted)
        self._prompts.setdefault(prompt.id, prompt)
        for response in responses:
            self._responses.setdefault(response.id, response)
        self._tasks.setdefault(task.id, task)
        for vote in given.votes:
            self._raters[vote.rater] = Rater(id=vote.rater, display_name=vote.rater, cohort={"cohort": FORMAT})
            judgment = judgment_of(task.id, order.index(vote.winner), vote)
            self._judgments.setdefault(judgment.id, judgment)

    def result(self, path: Path, rows: int, problems: tuple[str, ...], problem_count: int) -> ParsedImport:
        """Everything that was read."""
        return ParsedImport(
            format=FORMAT,
            path=path.name,
            file_sha256=file_sha256(path),
            dataset=self._dataset,
            rows=rows,
            prompts=tuple(self._prompts.values()),
            responses=tuple(self._responses.values()),
            tasks=tuple(self._tasks.values()),
            raters=tuple(self._raters.values()),
            judgments=tuple(self._judgments.values()),
            problems=problems,
            problem_count=problem_count,
            notes=(f"{len(self._tasks)} tasks of {LABEL}",),
        )


def response_of(prompt_id: str, offered: Offered) -> Response:
    """An answer with its provenance under `sampling`."""
    if offered.source is None:
        return Response.make(prompt_id, offered.text, policy=REFERENCE)
    policy = f"{FORMAT}/{offered.model}"
    return Response.make(prompt_id, offered.text, policy=policy, sampling=offered.source.payload())


def judgment_of(task_id: str, winner: int, vote: Vote) -> Judgment:
    """A vote as a judgment; its id is that of the thumbs it was made of, so that it is never counted twice."""
    return Judgment(
        id=content_id("judgment", [FORMAT, task_id, list(vote.feedback)]),
        task_id=task_id,
        rater_id=vote.rater,
        order_shown=(),
        choice=Choice.prefer(winner, 1 - winner),
        flags=(FORMAT,),
        rationale=vote.comment,
        client=CLIENT,
        created_at=vote.at,
    )
