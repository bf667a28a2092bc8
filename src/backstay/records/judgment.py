"""Who judged what, and how: tasks, raters and their judgments."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from backstay.records.base import Record
from backstay.records.ids import content_id

Dimension = Literal["helpful", "harmless", "honest", "overall"]
Ranking = tuple[tuple[int, ...], ...]


class Task(Record):
    """A question to raters: which of these responses is better, along one dimension.

    `gold` is the index of the best response where a trusted person has settled it, else None; raters never see it.
    """

    id: str
    prompt_id: str
    response_ids: Annotated[tuple[str, ...], Field(min_length=2)]
    dimension: Dimension = "overall"
    gold: int | None = None
    wanted: int = 1

    @classmethod
    def make(
        cls,
        prompt_id: str,
        response_ids: tuple[str, ...],
        *,
        dimension: Dimension = "overall",
        gold: int | None = None,
        wanted: int = 1,
    ) -> Self:
        """Build a task with its content id, which does not depend on `gold` or `wanted`."""
        task_id = content_id("task", [prompt_id, list(response_ids), dimension])
        return cls(
            id=task_id, prompt_id=prompt_id, response_ids=response_ids, dimension=dimension, gold=gold, wanted=wanted
        )


class Choice(Record):
    """A ranking of the task's responses, best first, ties in one group; or a verdict that all are bad.

    Indices refer to `Task.response_ids`, never to the order shown.
    """

    ranking: Ranking = ()
    both_bad: bool = False

    @model_validator(mode="after")
    def _ranking_or_bad(self) -> Self:
        flat = [index for group in self.ranking for index in group]
        if self.both_bad and flat:
            raise ValueError("a choice is either a ranking or both_bad, not both")
        if not self.both_bad and sorted(flat) != list(range(len(flat))):
            raise ValueError(f"ranking {self.ranking} does not name each response exactly once")
        if not self.both_bad and len(flat) < 2:
            raise ValueError("a ranking needs at least two responses")
        return self

    @classmethod
    def prefer(cls, winner: int, loser: int) -> Self:
        """One response over the other, in a task of two."""
        return cls(ranking=((winner,), (loser,)))

    @classmethod
    def tie(cls) -> Self:
        """Two responses that are equally good."""
        return cls(ranking=((0, 1),))


class Span(Record):
    """A part of a response that a rater marked: characters `start` to `end` of its text, as Python counts them.

    `response` is the index in `Task.response_ids`.
    """

    response: Annotated[int, Field(ge=0)]
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(gt=0)]
    label: Literal["good", "bad"] = "bad"

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"a span from {self.start} to {self.end} is empty")
        return self


class Judgment(Record):
    """One rater's answer to one task. The journal fills `prev_hash` and `hash` when it appends.

    `purpose` says why it was asked for: only a `vote` counts in aggregation; `consistency` asks a rater the same again.
    A field added after the first release is left out of the record where it says nothing, so that old ones keep their
    text.
    """

    id: str
    task_id: str
    rater_id: str
    order_shown: tuple[int, ...]
    choice: Choice
    strength: float | None = None
    flags: tuple[str, ...] = ()
    rationale: str = ""
    duration_ms: int | None = None
    client: str = ""
    created_at: str
    spans: tuple[Span, ...] = ()
    purpose: Literal["vote", "consistency"] = "vote"
    prev_hash: str = ""
    hash: str = ""

    def payload(self) -> dict[str, Any]:
        """The record as plain JSON data."""
        added = {"spans": [], "purpose": "vote"}
        return {key: value for key, value in super().payload().items() if key not in added or value != added[key]}


class Retraction(Record):
    """A rater takes a judgment back: it no longer counts, and both records stay."""

    id: str
    judgment_id: str
    rater_id: str
    reason: str = ""
    created_at: str


class Audit(Record):
    """The answer of a trusted person, `by` name, to a pair that was drawn to find out whom to believe."""

    prompt_id: str
    a: str
    b: str
    dimension: Dimension = "overall"
    better: Literal["a", "b"]
    by: str = ""

    @property
    def pair(self) -> tuple[str, str, str, Dimension]:
        """What it is about, whichever response is named first."""
        low, high = sorted((self.a, self.b))
        return self.prompt_id, low, high, self.dimension

    @property
    def winner(self) -> str:
        """Id of the better response."""
        return self.a if self.better == "a" else self.b


class Rater(Record):
    """A person or program that judges; `simulated` is never hidden."""

    id: str
    display_name: str
    role: Literal["rater", "expert", "reviewer", "import"] = "rater"
    cohort: dict[str, str] = Field(default_factory=dict)
    status: Literal["active", "suspended"] = "active"
    simulated: bool = False
