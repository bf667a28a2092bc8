"""What a rater sends, and the judgments that it becomes.

A rater speaks of slots, which are the places shown; records speak of indices.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from backstay.feedback.collection.project import ProjectSettings
from backstay.feedback.collection.rejection import Rejected
from backstay.records import Choice, Dimension, Judgment, Span, uuid7

Slot = Annotated[int, Field(ge=0, le=31)]
Flag = Literal["personal_data", "unsafe", "broken"]
Duration = Annotated[int, Field(ge=0, le=2**40)]
MAX_RATIONALE, MAX_EDIT, MAX_SPANS = 4000, 20_000, 50


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(_Part):
    """The verdict along one dimension: a ranking of the slots, best first, ties in one group; or all are bad."""

    dimension: Dimension
    ranking: Annotated[tuple[Annotated[tuple[Slot, ...], Field(min_length=1)], ...], Field(max_length=32)] | None = None
    both_bad: bool = False
    strength: Literal[1, 2, 3] | None = None


class FlagMark(_Part):
    """A flag on one response, or on the whole task where `slot` is null."""

    slot: Slot | None = None
    flag: Flag


class SpanMark(_Part):
    """Characters `start` to `end` of a response's text."""

    slot: Slot
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(gt=0)]
    label: Literal["good", "bad"] = "bad"


class Edit(_Part):
    """A better answer, written out of the response in a slot."""

    slot: Slot
    text: Annotated[str, Field(min_length=1, max_length=MAX_EDIT)]


class Submission(_Part):
    """A rater's whole answer to an assignment."""

    answers: Annotated[tuple[Answer, ...], Field(min_length=1, max_length=4)]
    flags: Annotated[tuple[FlagMark, ...], Field(max_length=100)] = ()
    rationale: Annotated[str, Field(max_length=MAX_RATIONALE)] = ""
    spans: Annotated[tuple[SpanMark, ...], Field(max_length=MAX_SPANS)] = ()
    edit: Edit | None = None
    duration_ms: Duration = 0
    away_ms: Duration = 0

    @field_validator("rationale")
    @classmethod
    def _rationale_is_text(cls, value: str) -> str:
        return storable(value)

    @field_validator("edit")
    @classmethod
    def _edit_is_text(cls, value: Edit | None) -> Edit | None:
        if value is not None:
            storable(value.text)
        return value


class Given(NamedTuple):
    """What an answer is an answer to. `order` lists the indices of the responses as they were shown."""

    task_ids: Mapping[Dimension, str]
    order: Sequence[int]
    lengths: Sequence[int]
    """Characters of each response, by index; empty where nothing is marked."""
    rater_id: str
    purpose: Literal["vote", "gold", "consistency"]
    elapsed_ms: int
    now_ms: int
    client: str


def storable(text: str) -> str:
    """The text, unless a database or a file cannot hold it; raises ValueError."""
    if "\x00" in text:
        raise ValueError("contains a NUL character")
    text.encode()  # A lone surrogate raises UnicodeEncodeError, which is a ValueError.
    return text


def judgments_of(submission: Submission, given: Given, settings: ProjectSettings) -> list[Judgment]:
    """One judgment a dimension, in the project's order; raises Rejected for what does not fit the task."""
    answers = _by_dimension(submission, given)
    _check_marks(submission, given, settings)
    spans = tuple(
        Span(response=given.order[mark.slot], start=mark.start, end=mark.end, label=mark.label)
        for mark in submission.spans
    )
    flags = tuple(sorted({_flag(mark, given.order) for mark in submission.flags}))
    return [
        Judgment(
            id=uuid7(),
            task_id=task_id,
            rater_id=given.rater_id,
            order_shown=tuple(given.order),
            choice=choice_of(answers[dimension], given.order, settings),
            strength=answers[dimension].strength,
            flags=flags,
            rationale=submission.rationale,
            spans=spans,
            purpose="consistency" if given.purpose == "consistency" else "vote",
            duration_ms=min(max(0, submission.duration_ms), given.elapsed_ms),
            client=given.client,
            created_at=iso_time(given.now_ms),
        )
        for dimension, task_id in given.task_ids.items()
    ]


def choice_of(answer: Answer, order: Sequence[int], settings: ProjectSettings) -> Choice:
    """The verdict in the indices of the task; raises Rejected for one that the project does not allow."""
    place = f"answers.{answer.dimension}"
    if answer.both_bad:
        if not settings.both_bad or answer.ranking is not None or answer.strength is not None:
            raise Rejected("does_not_fit", "`both_bad` stands alone, and where the project allows it", place=place)
        return Choice(both_bad=True)
    groups = answer.ranking or ()
    if sorted(slot for group in groups for slot in group) != list(range(len(order))):
        raise Rejected("does_not_fit", f"a ranking names each of the {len(order)} slots once", place=place)
    tied = any(len(group) > 1 for group in groups)
    if tied and not settings.ties:
        raise Rejected("does_not_fit", "this project takes no ties", place=place)
    if answer.strength is not None and (not settings.strength or len(order) != 2 or tied):
        raise Rejected("does_not_fit", "a strength goes with one of two responses", place=place)
    return Choice(ranking=tuple(tuple(sorted(order[slot] for slot in group)) for group in groups))


def iso_time(at_ms: int) -> str:
    """A time as records have it: UTC, milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _by_dimension(submission: Submission, given: Given) -> dict[Dimension, Answer]:
    found = {answer.dimension: answer for answer in submission.answers}
    if len(found) < len(submission.answers) or found.keys() != given.task_ids.keys():
        wanted = ", ".join(given.task_ids)
        raise Rejected("does_not_fit", f"one answer is wanted for each of: {wanted}", place="answers")
    return found


def _check_marks(submission: Submission, given: Given, settings: ProjectSettings) -> None:
    slots = [mark.slot for mark in (*submission.flags, *submission.spans, submission.edit) if mark is not None]
    if any(slot is not None and slot >= len(given.order) for slot in slots):
        raise Rejected("does_not_fit", f"there are {len(given.order)} responses: slots count from 0")
    for mark in submission.spans:
        if mark.end <= mark.start or mark.end > given.lengths[given.order[mark.slot]]:
            raise Rejected("does_not_fit", f"no span from {mark.start} to {mark.end} is in that text", place="spans")
    for name, used, allowed in (
        ("rationale", bool(submission.rationale), settings.rationale),
        ("spans", bool(submission.spans), settings.spans),
        ("edit", submission.edit is not None, settings.edits),
    ):
        if used and not allowed:
            raise Rejected("does_not_fit", f"this project takes no {name}", place=name)


def _flag(mark: FlagMark, order: Sequence[int]) -> str:
    """As records have it: the flag, and the index of the response where it is about one."""
    return mark.flag if mark.slot is None else f"{mark.flag}:{order[mark.slot]}"
