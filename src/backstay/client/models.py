"""What the console answers and takes, as the client has it. Keys that a newer console adds are ignored."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

Dimension = Literal["overall", "helpful", "harmless", "honest"]


class _Answered(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Turn(_Answered):
    """One message of a prompt."""

    role: str
    text: str


class ShownResponse(_Answered):
    """A response at its place."""

    slot: int
    text: str


class Assignment(_Answered):
    """A task that is kept for one rater."""

    id: str
    project: str
    kind: Literal["pair", "ranking"]
    prompt: tuple[Turn, ...]
    responses: tuple[ShownResponse, ...]
    dimensions: tuple[str, ...]
    allow: dict[str, bool]
    guidelines_version: int
    issued_at: str
    lease_expires_at: str


class Progress(_Answered):
    """A rater's own counts."""

    done_today: int
    done_total: int
    streak_days: int
    per_hour: float | None
    left: int | None
    retracted: int
    skipped: int


class Issued(_Answered):
    """An assignment, or why there is none."""

    assignment: Assignment | None
    why: str
    progress: Progress


class Receipt(_Answered):
    """An answer that is stored, and the next assignment."""

    receipt: str
    accepted_at: str
    undo: bool
    next: Assignment | None
    why: str
    progress: Progress


class Answer(_Sent):
    """The verdict along one dimension: slots, best first, ties in one group; or all are bad."""

    dimension: Dimension = "overall"
    ranking: tuple[tuple[int, ...], ...] | None = None
    both_bad: bool = False
    strength: Literal[1, 2, 3] | None = None


class FlagMark(_Sent):
    """A flag on one response, or on the whole task."""

    flag: Literal["personal_data", "unsafe", "broken"]
    slot: int | None = None


class SpanMark(_Sent):
    """Characters `start` to `end` of a response's text."""

    slot: int
    start: int
    end: int
    label: Literal["good", "bad"] = "bad"


class Edit(_Sent):
    """A better answer, written out of the response in a slot."""

    slot: int
    text: str


class Submission(_Sent):
    """A rater's whole answer."""

    answers: tuple[Answer, ...]
    flags: tuple[FlagMark, ...] = ()
    rationale: str = ""
    spans: tuple[SpanMark, ...] = ()
    edit: Edit | None = None
    duration_ms: int = 0
    away_ms: int = 0

    @classmethod
    def prefer(cls, slot: int, over: int, **more: Any) -> Self:
        """The response in one slot over that in another, overall."""
        return cls(answers=(Answer(ranking=((slot,), (over,))),), **more)


class Undone(_Answered):
    """A task whose judgment was taken back."""

    assignment: Assignment
    answer: dict[str, Any]
    progress: Progress


class Project(_Answered):
    """A project; raters see neither data set nor settings."""

    id: str
    name: str
    status: Literal["open", "paused", "closed"]
    dataset: str | None = None
    settings: dict[str, Any] | None = None
    items_made: int | None = None


class Item(_Answered):
    """What is asked about: one prompt with its responses."""

    id: str
    prompt_id: str
    response_ids: tuple[str, ...]
    state: str
    votes: int


class Guidelines(_Answered):
    """One version of the guidelines; 0 where there are none."""

    version: int
    text: str
    author: str


class Caller(_Answered):
    """Who the console takes the client for."""

    account_id: str
    name: str
    role: str
    permissions: tuple[str, ...]
    projects: tuple[str, ...] | None
    rater_id: str | None


class ImportProblem(_Answered):
    """A row that breaks the format."""

    line: int
    column: int
    field: str
    message: str


class Imported(_Answered):
    """What an import stored."""

    rows: int
    judgments: int
    prompts: int
    responses: int
    tasks: int
    raters: int
    known: int
    duplicates: int
    refused: int
    items_made: int
    problems: tuple[ImportProblem, ...]
    rejects: str | None


class Exported(_Answered):
    """A file that was fetched: rows in it, and what its format could not hold."""

    path: str
    size_bytes: int
    rows: int
    left_out: int


class Webhook(_Answered):
    """A webhook; `secret` only when it was just made."""

    id: str
    url: str
    note: str
    events: tuple[str, ...]
    state: Literal["on", "off"]
    secret: str | None = None


class Delivery(_Answered):
    """An event on its way to a webhook."""

    id: int
    event_id: str
    event: str
    state: Literal["waiting", "delivered", "dead"]
    attempts: int
    last_error: str
