"""What the API answers, as the schemas of openapi.json; a test holds real answers against them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from backstay.feedback.collection import ProjectSettings, Submission
from backstay.feedback.collection.leasing import Why
from backstay.records import Dimension
from backstay.web.permissions import Permission, Role
from backstay.web.webhooks.events import Event

Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", description="UTC.")]
Count = Annotated[int, Field(ge=0)]


class Shape(BaseModel):
    """An answer has these keys and no others."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Turn(Shape):
    """One message of a prompt."""

    role: Literal["system", "user", "assistant"]
    text: str
    html: str
    """The text as safe HTML."""


class ShownResponse(Shape):
    """A response, at the place where it is shown."""

    slot: Count
    text: str
    html: str


class Allow(Shape):
    """What the project takes besides a ranking."""

    ties: bool
    both_bad: bool
    strength: bool
    rationale: bool
    spans: bool
    edit: bool


class Assignment(Shape):
    """A task that is kept for one rater until its lease ends."""

    id: str
    project: str
    kind: Literal["pair", "ranking"]
    prompt: list[Turn]
    responses: list[ShownResponse]
    dimensions: list[Dimension]
    allow: Allow
    guidelines_version: Count
    issued_at: Time
    lease_expires_at: Time
    server_time: Time


class Progress(Shape):
    """A rater's own counts in one project."""

    done_today: Count
    done_total: int
    streak_days: Count
    per_hour: float | None
    """At the median pace; null before the first judgment."""
    left: Count | None
    retracted: Count
    skipped: Count


class Issued(Shape):
    """The rater's assignment, or why there is none."""

    assignment: Assignment | None
    why: Why
    progress: Progress


class Receipt(Shape):
    """An answer that is stored, and what comes next."""

    receipt: str
    accepted_at: Time
    undo: bool
    """Whether it can be taken back."""
    next: Assignment | None
    why: Why
    progress: Progress


class Lease(Shape):
    """Until when a task is kept."""

    lease_expires_at: Time


class Undone(Shape):
    """A task whose judgment was taken back, with what was said of it."""

    assignment: Assignment
    answer: Submission
    progress: Progress


class RaterProject(Shape):
    """A project as its raters see it."""

    id: str
    name: str
    status: Literal["open", "paused", "closed"]
    dimensions: list[Dimension]


class Project(Shape):
    """A project as those see it who may read projects."""

    id: str
    name: str
    status: Literal["open", "paused", "closed"]
    dataset: str
    settings: ProjectSettings
    created_by: str
    created_at: Time


class ProjectMade(Project):
    """A project that was made, and how many items its data set gave."""

    items_made: Count


class Projects(Shape):
    """Projects that the caller may rate in or read."""

    projects: list[Project | RaterProject]


class ItemsMade(Shape):
    """How many items were made, and by whom."""

    items_made: Count
    by: str


class Guidelines(Shape):
    """One version of a project's guidelines; version 0 where there are none."""

    version: Count
    text: str
    html: str
    author: str
    at: Time | None


class Webhook(Shape):
    """Where events go. The secret is shown when it is made, and never again."""

    id: str
    url: str
    note: str
    events: list[Event]
    state: Literal["on", "off"]
    created_by: str
    created_at: Time
    old_secret_until: Time | None
    """Until then events are signed with the former secret too."""


class WebhookMade(Webhook):
    """A webhook with its new secret."""

    secret: str


class Webhooks(Shape):
    """A page of webhooks."""

    webhooks: list[Webhook]
    next: str | None
    """What to pass as `after` for the next page; null at the end."""


class Delivery(Shape):
    """An event on its way to a webhook."""

    id: int
    event_id: str
    event: str
    state: Literal["waiting", "delivered", "dead"]
    attempts: Count
    created_at: Time
    next_at: Time | None
    ended_at: Time | None
    last_error: str


class Deliveries(Shape):
    """A page of deliveries, the newest first."""

    deliveries: list[Delivery]
    next: int | None
    """What to pass as `after` for the next page; null at the end."""


class ImportProblem(Shape):
    """A row that breaks the format. Lines and columns count from 1."""

    line: Count
    column: Count
    field: str
    message: str


class ImportDone(Shape):
    """What an import stored."""

    rows: Count
    judgments: Count
    prompts: Count
    responses: Count
    tasks: Count
    raters: Count
    known: Count
    """Judgments that the data set held already."""
    duplicates: Count
    refused: Count
    problems: list[ImportProblem]
    """The first 1,000 rows that were refused."""
    rejects: str | None
    """Where the refused rows can be fetched for an hour."""
    items_made: Count


class ImportFaultBody(Shape):
    """An import of which nothing was stored."""

    code: Literal["import_refused"]
    message: str
    cure: str
    fields: list[str] = []
    problems: list[ImportProblem]
    refused: Count
    rejects: str | None
    """Where the refused rows can be fetched for an hour."""


class ImportFault(Shape):
    """The answer to a file with rows that break the format."""

    error: ImportFaultBody


class Caller(Shape):
    """Who asks, and what they may do."""

    account_id: str
    name: str
    role: Role
    via: Literal["session", "token", "link"]
    permissions: list[Permission]
    projects: list[str] | None
    """Projects that are open to the caller; null: all."""
    rater_id: str | None


class Health(Shape):
    """The console answers."""

    status: Literal["ok"]
