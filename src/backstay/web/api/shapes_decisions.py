"""What the API answers about what people decide: disputes, items, drafts, gold, proposals, quarantine, the journal."""

from typing import Annotated, Literal

from pydantic import Field

from backstay.feedback.collection.gold_keeping import Step
from backstay.feedback.collection.proposing import Kind
from backstay.records import Choice, Dimension, Finding, Span
from backstay.web.api.shapes import Count, Shape, ShownResponse, Time, Turn

ItemState = Literal["open", "done", "disputed", "settled", "withdrawn"]
GoldState = Literal["active", "retired", "withdrawn"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class ShownTexts(Shape):
    """A prompt and its responses."""

    prompt: list[Turn]
    responses: list[ShownResponse]


class ItemRow(Shape):
    """An item in a list."""

    id: str
    prompt_id: str
    response_ids: list[str]
    state: ItemState
    votes: Count


class Items(Shape):
    """A page of items in order of id."""

    items: list[ItemRow]
    next: str | None
    """What to pass as `after` for the next page; null at the end."""


class ScoresSet(Shape):
    """Scores that were set: of how many items, by how many members, and their SHA-256 as the journal has it."""

    items: Count
    members: Count
    digest: str


class DisputeRow(Shape):
    """A disputed item in the queue."""

    id: str
    votes: Count
    may_decide: bool
    """False for who has rated it."""


class Disputes(Shape):
    """A page of disputed items in order of id."""

    waiting: Count
    items: list[DisputeRow]
    next: str | None
    """What to pass as `after` for the next page; null at the end."""


class Dispute(ShownTexts):
    """A disputed item without its votes; slots are in an order that is random by reviewer and round."""

    id: str
    project: str
    round: Count
    """To be named by the verdict."""
    dimensions: list[Dimension]
    waiting: Count


class ItemMoved(Shape):
    """An item's new state."""

    id: str
    state: ItemState


class GoldValue(Shape):
    """A gold answer: the index of the best response."""

    best: Count
    state: GoldState


class Said(Shape):
    """A judgment with its places in the journal."""

    id: str
    dimension: str
    choice: Choice
    label: str
    """In the letters of the item's responses."""
    strength: float | None
    flags: list[str]
    rationale: str
    spans: list[Span]
    duration_ms: int | None
    client: str
    created_at: str
    seq: int
    hash: str
    retracted_seq: int | None
    """Null while it stands."""


class Skipped(Shape):
    """Why a rater gave the item back."""

    reason: str
    note: str


class Asked(Shape):
    """One assignment of the item; why it was asked only for who may know what is gold."""

    rater: str
    state: Literal["open", "judged", "skipped", "expired", "retracted"]
    order_shown: list[Count]
    guidelines_version: Count
    issued_at: Time
    settled_at: Time | None
    skipped: Skipped | None
    said: list[Said]
    purpose: Literal["vote", "gold", "consistency"] = "vote"
    strategy: str = ""
    propensity: Share = 1.0


class Adjudication(Shape):
    """What a reviewer decided along one dimension."""

    dimension: str
    choice: Choice
    label: str
    reason: str
    person: str
    name: str
    at: Time


class Item(ShownTexts):
    """Everything that is known of an item, as far as the caller may see it now."""

    id: str
    project: str
    state: ItemState
    votes: Count
    dimensions: list[Dimension]
    task_ids: dict[str, str]
    response_ids: list[str]
    priority: float
    blind: bool
    """Whether votes are hidden, because the caller may decide on it."""
    counts: dict[str, dict[str, int]]
    history: list[Asked]
    adjudications: list[Adjudication]
    gold: dict[str, GoldValue]


class SettledItem(Item):
    """An item that was just settled."""

    next: str | None
    """The next disputed item that the caller may decide; null: there is none."""


class Draft(Shape):
    """A better answer that a rater wrote."""

    id: str
    rater: str
    state: Literal["waiting", "accepted", "refused", "withdrawn"]
    at: Time
    reviewed_by: str | None
    reason: str | None


class DraftRow(Draft):
    """A draft that waits."""

    may_review: bool
    """False for its author."""


class Drafts(Shape):
    """A page of drafts that wait, the oldest first."""

    waiting: Count
    drafts: list[DraftRow]
    next: str | None
    """What to pass as `after` for the next page; null at the end."""


class Change(Shape):
    """A stretch of text: in both texts, only in the old one, or only in the new one."""

    kind: Literal["same", "gone", "new"]
    text: str


class ShownDraft(DraftRow):
    """A draft with the response that it was written out of."""

    prompt: list[Turn]
    before: str
    text: str
    html: str
    changes: list[Change]
    waiting: Count


class GoldRow(Shape):
    """A gold answer, how many raters saw it and found it, and why it is as it is."""

    item: str
    dimension: str
    best: Count
    state: GoldState
    exposures: Count
    right: Count
    share_right: Share | None
    author: str
    name: str
    at: Time
    why: str
    """Reason of the last change; empty for gold that came with the data set."""


class GoldPage(Shape):
    """A page of gold in order of item and dimension."""

    gold: list[GoldRow]
    next: str | None
    """What to pass as `after` for the next page; null at the end."""


class GoldProposed(Shape):
    """A change of gold, and what stood before."""

    do: Step
    dimension: Dimension
    best: Count | None
    before: GoldValue | None


class ReleaseProposed(Shape):
    """That training may use a quarantined pair."""

    do: Literal["release"]
    run: str
    findings: list[str]
    prompt: str
    a: str
    b: str
    dimension: Dimension


class Proposal(Shape):
    """What somebody proposed, and what a second person said to it. `subject` is an item's id, or a pair's."""

    id: str
    kind: Kind
    project: str
    subject: str
    change: GoldProposed | ReleaseProposed
    reason: str
    person: str
    name: str
    at: Time
    state: Literal["waiting", "confirmed", "refused", "withdrawn"]
    second: str | None
    second_name: str | None
    second_reason: str | None
    second_at: Time | None


class Proposals(Shape):
    """A page of proposals, the newest first. One that is short, or empty, is the last only where `next` is null."""

    proposals: list[Proposal]
    next: str | None
    """What to pass as `after` for the next page; null at the end."""


class ShownProposal(Proposal, ShownTexts):
    """A proposal with the texts that it is about, and for gold the value that stands now."""

    own: bool
    now: GoldValue | None = None


class QuarantinedPair(ShownTexts):
    """A pair that is kept from training."""

    id: str
    dimension: Dimension
    p_a: Share
    weight: float
    raters: Count
    findings: list[Finding]


class Quarantine(Shape):
    """A page of the pairs that the newest run of screen keeps from training, in order of id."""

    run: str
    """Empty where there was none."""
    total: Count
    pairs: list[QuarantinedPair]
    next: str | None
    """What to pass as `after` for the next page; null at the end."""


class Walk(Shape):
    """A walk over the journal; `broken` says what does not hold, empty: all holds."""

    by: str
    started_at: Time
    ended_at: Time | None
    entries: Count
    sealed_entries: Count
    broken: str


class LastWalk(Shape):
    """The last walk; null where there was none."""

    walk: Walk | None
