"""What the API answers about items: in lists, disputed ones blind, and everything that is known of one."""

from typing import Annotated, Literal

from pydantic import Field

from backstay.records import Choice, Dimension, Span
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
