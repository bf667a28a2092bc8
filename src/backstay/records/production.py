"""Rating tasks out of production traffic, as the guard writes them and `backstay import production` reads them."""

from typing import Annotated, Literal

from pydantic import Field

from backstay.records.base import Record
from backstay.records.dialogue import Message
from backstay.records.judgment import Dimension

LABEL = "production traffic, kept by opt-in, redacted"
CLIENT = "guard.feedback"
REFERENCE = "reference/declines"
"""Policy of the answer that declines, which is ours and no model's."""
Name = Annotated[str, Field(min_length=1, max_length=190)]


class Source(Record):
    """Where an answer came from: the guard's exchange, its decisions on it, and the policy that made them."""

    exchange: Name
    decisions: tuple[str, ...]
    policy: str
    effect: Literal["allow", "deny", "hold"]


class Offered(Record):
    """One answer of a task; without a source it is the reference that declines."""

    text: str
    model: str = ""
    source: Source | None = None


class Vote(Record):
    """What a client's thumbs on both answers say; `rater` is a pseudonym, `feedback` the ids of the thumbs."""

    rater: Name
    winner: Literal[0, 1]
    at: str
    comment: str = ""
    feedback: tuple[str, ...]


class ProductionTask(Record):
    """One line of tasks.jsonl. `suspect_votes` stand there to be looked at, and are not imported."""

    label: Literal["production traffic, kept by opt-in, redacted"] = "production traffic, kept by opt-in, redacted"
    version: Literal[1] = 1
    why: Literal["denied_answer", "answers"]
    messages: Annotated[tuple[Message, ...], Field(min_length=1)]
    responses: Annotated[tuple[Offered, ...], Field(min_length=2, max_length=2)]
    dimension: Dimension
    wanted: Annotated[int, Field(ge=1, le=100)] = 3
    votes: tuple[Vote, ...] = ()
    suspect_votes: tuple[Vote, ...] = ()
