"""Rating tasks out of production traffic, as `backstay guard harvest` writes them: pairs of answers, judged or not yet.

Votes are clients' thumbs: judgments by untrusted raters, never gold. Training sees none of it before `aggregate` and
`screen` have.
"""

from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from backstay.feedback.importing.intake import Reading
from backstay.feedback.importing.judged import HELDOUT_SHARE, Bundle, split_of
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.parsed import ParsedImport, parse
from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import read_rows, text_of
from backstay.records import Choice, Judgment, Prompt, Rater, Response, Task, content_id
from backstay.records.production import CLIENT, LABEL, REFERENCE, Offered, ProductionTask, Vote

FORMAT = "production"


def read_production(
    path: Path, *, dataset: str, heldout_share: float = HELDOUT_SHARE, limits: ReadLimits | None = None
) -> ParsedImport:
    """Parse a tasks.jsonl; stores nothing."""
    return parse(path, dataset, production_reading(path, heldout_share, limits or ReadLimits()))


def production_reading(path: Path, heldout_share: float, limits: ReadLimits) -> Reading:
    """The rows of such a file, and how they are read."""
    found: set[bytes] = set()

    def bundle(values: dict[str, Any]) -> Bundle:
        made = _bundle(_parsed(values), heldout_share)
        found.update(sha256(task.id.encode()).digest()[:16] for task in made.tasks)
        return made

    rows = read_rows(path, "jsonl", limits)
    return Reading(FORMAT, rows, bundle, heldout_share, lambda: (f"{len(found)} tasks of {LABEL}",))


def _parsed(values: dict[str, Any]) -> ProductionTask:
    try:
        task = ProductionTask.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        said = f"{'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']}"
        raise RowProblem(said, *first["loc"]) from error
    if task.messages[-1].role != "user":
        raise RowProblem("the dialogue before the responses does not end with a user's turn", "messages")
    for place, message in enumerate(task.messages):
        text_of(message.content, "text", "messages", place, "content")
    for place, response in enumerate(task.responses):
        text_of(response.text, "text", "responses", place, "text")
    if task.responses[0].text == task.responses[1].text:
        raise RowProblem("both responses are the same text", "responses", 1, "text")
    return task


def _bundle(given: ProductionTask, heldout_share: float) -> Bundle:
    prompt = Prompt.make(given.messages, source=FORMAT, tags={"label": LABEL})
    prompt = prompt.model_copy(update={"split": split_of(prompt.id, heldout_share)})
    responses = [response_of(prompt.id, one) for one in given.responses]
    # In order of id, so that the place of an answer tells nothing.
    order = sorted((0, 1), key=lambda place: responses[place].id)
    ids = tuple(responses[place].id for place in order)
    task = Task.make(prompt.id, ids, dimension=given.dimension, wanted=given.wanted)
    raters = [Rater(id=vote.rater, display_name=vote.rater, cohort={"cohort": FORMAT}) for vote in given.votes]
    judged = [judgment_of(task.id, order.index(vote.winner), vote) for vote in given.votes]
    return Bundle(prompt, responses, [task], raters, [(one.id, one) for one in judged])


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
