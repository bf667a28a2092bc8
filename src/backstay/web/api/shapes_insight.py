"""What the API answers a lead: how a project goes, whom to believe, and what certainty costs."""

from typing import Annotated, Literal

from pydantic import Field

from backstay.feedback.collection.raters import Status
from backstay.web.api.shapes import Count, Shape, Time

Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$", description="By UTC.")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Interval(Shape):
    """An estimate with its 95 % interval; an end is null where it is not defined."""

    value: float
    low: float | None
    high: float | None


class Agreement(Shape):
    """How far raters agree along one dimension; null where it is not defined."""

    dimension: str
    alpha: Interval | None
    """Krippendorff's, for nominal answers."""
    raw: Interval | None
    """Share of pairs of votes that are equal."""
    states: Count
    """Items with votes."""
    compared: Count
    """Items with two votes or more."""
    votes: Count
    ties: Count
    both_bad: Count


class Agreements(Shape):
    """Agreement along every dimension that has votes."""

    agreement: list[Agreement]


class Votes(Shape):
    """Votes that were given, are missing, and are being given."""

    given: Count
    wanted: Count
    leased: Count


class DayJudged(Shape):
    """Judgments of one day."""

    day: Day
    judged: Count


class Certain(Shape):
    """Items, of a sample, whose certainty is at least this and below the next higher bound."""

    least: Share
    items: Count


class People(Shape):
    """Raters."""

    all: Count
    active_today: Count


class Overview(Shape):
    """A project at a glance."""

    project: str
    status: Literal["open", "paused", "closed"]
    at_ms: Count
    states: dict[str, int]
    """Items by state."""
    items_total: Count
    done_share: Share
    votes: Votes
    hours_worked: float
    days: list[DayJudged]
    certainty: list[Certain] | None
    """Null for rankings."""
    agreement: list[Agreement]
    raters: People


class Portion(Shape):
    """A share of `of` with its 95 % interval; `value` is null where nothing was counted."""

    value: Share | None
    low: float
    high: float
    of: Count


class Trust(Shape):
    """Trust with its 95 % interval."""

    value: float
    low: float
    high: float


class Rater(Shape):
    """One rater. `leans` is set where the choice follows the place shown beyond chance."""

    rater: str
    name: str
    simulated: bool
    status: Status
    trust: Trust
    trust_at: Time | None
    judged: Count
    agreement: Portion
    gold: Portion
    chose_first: Portion
    leans: Literal["", "first", "away"]
    repeats_same: Portion
    median_s: float | None
    skipped: Count
    retracted: Count
    first_at: Time
    last_at: Time
    notes: list[str]


class TrustRun(Shape):
    """A run of aggregation."""

    at: Time
    started_by: str
    state: Literal["running", "done", "failed"]
    method: str
    judged: Count
    took_ms: Count
    problem: str


class Raters(Shape):
    """A page of raters in the order asked for, and the run of aggregation that their notes are of."""

    raters: list[Rater]
    total: Count
    next: str | None
    """What to pass as `after` for the next page; null at the end."""
    trust: TrustRun | None


class TrustThen(Shape):
    """Trust at one time."""

    at: Time
    trust: float
    low: float
    high: float
    judged: Count


class DayWorked(DayJudged):
    """A rater's day."""

    worked_ms: Count


class Alarm(Shape):
    """What a lead should look into."""

    kind: str
    tone: Literal["alarm", "note"]
    title: str
    text: str
    size: Count
    """Raters that it is about."""


class NamedAlarm(Alarm):
    """An alarm with the ids of its first raters."""

    raters: list[str]


class Pace(Shape):
    """Judgments that took so long."""

    from_: Annotated[str, Field(alias="from")]
    judged: Count


class RaterDetail(Rater):
    """One rater with trust over time, days, alarms and pace."""

    history: list[TrustThen]
    days: list[DayWorked]
    cohort: dict[str, str]
    alarms: list[Alarm]
    pace: list[Pace]


class RaterStatus(Shape):
    """A rater's new status."""

    rater: str
    status: Status


class TrustState(Shape):
    """The last runs, the newest first, and the alarms of the last one that ended well."""

    runs: list[TrustRun]
    alarms: list[NamedAlarm]


class Cohort(Shape):
    """One cohort of the audit."""

    cohort: str
    raters: Count
    votes: float
    gold_votes: float
    trust: Interval | None
    weight: Interval | None
    gold_accuracy: Interval | None
    relative_weight: Interval | None
    alpha: Interval | None
    warning: str


class Difference(Shape):
    """A test whether two cohorts answer differently."""

    first: str
    second: str
    shared_items: Count
    shortfall: float
    p_corrected: Share
    items: Count


class CohortAudit(Shape):
    """The audit along one field of raters' records; cohorts of fewer than `least` raters are hidden."""

    field: str
    groups: list[Cohort]
    hidden: Count
    least: Count
    differences: list[Difference] | None


class Cohorts(Shape):
    """The audits of the last run of aggregation."""

    trust: TrustRun | None
    cohorts: list[CohortAudit]


class Estimate(Shape):
    """Mean and 95 % interval of what simulations gave."""

    mean: float
    low: float
    high: float


class Forecast(Shape):
    """What it takes to a wanted certainty."""

    certainty: float
    most_votes: Count
    open_items: Count
    sampled: Count
    judgments: Estimate
    hours: Estimate
    money: Estimate | None
    certain: Estimate
