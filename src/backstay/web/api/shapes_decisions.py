"""What the API answers about what people decide: drafts, gold, proposals, quarantine, and walks over the journal."""

from typing import Literal

from backstay.feedback.collection.gold_keeping import Step
from backstay.feedback.collection.proposing import Kind
from backstay.records import Dimension, Finding
from backstay.web.api.shapes import Count, Shape, Time, Turn
from backstay.web.api.shapes_items import GoldState, GoldValue, Share, ShownTexts


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
