"""Projects: which data set is rated, along which dimensions, by how many, and under which guidelines."""

import functools
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator
from sqlalchemy import ColumnElement, Connection, RowMapping, ScalarSelect, bindparam, func, insert, select, update

from backstay.errors import UsageError
from backstay.feedback.collection.rejection import Rejected
from backstay.records import Dimension, Settings, canonical_json
from backstay.storage.console_tables import guidelines, projects
from backstay.storage.unit import Unit

Status = Literal["open", "paused", "closed"]
Share = Annotated[float, Field(ge=0.0, le=0.5)]
Count = Annotated[int, Field(ge=1, le=100)]
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,58}")
MAX_GUIDELINES = 100_000
"""Characters."""


def newest_guidelines(project: ColumnElement[str]) -> ScalarSelect[int]:
    """The version of a project's newest guidelines, as a part of a query; NULL where there are none."""
    return select(func.max(guidelines.c.version)).where(guidelines.c.project == project).scalar_subquery()


_ALL = select(projects, newest_guidelines(projects.c.id).label("guidelines_version"))
_FIND = _ALL.where(projects.c.id == bindparam("of"))


class ProjectSettings(Settings):
    """How a project collects."""

    dimensions: Annotated[tuple[Dimension, ...], Field(min_length=1, max_length=4)] = ("overall",)
    """Asked together on one page; each becomes a judgment of its own."""
    votes: Count = 3
    """Votes that an item gets at least."""
    most_votes: Count = 7
    """Votes that an item gets at most, where raters leave it unsure; equal to `votes`: no extra ones."""
    certainty: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Posterior probability at which an item with enough votes is done; it takes two raters at least."""
    active: bool = True
    """Whether the item is asked for whose answer tells most; else items come in random order."""
    gold_share: Share = 0.08
    """Probability that an assignment is a gold item; 0 for none."""
    gold_exposures: Annotated[int, Field(ge=1, le=100_000)] = 40
    """Raters who see a gold item before it is retired."""
    repeat_share: Share = 0.03
    """Probability that a rater is asked something again, to see whether the answers agree; 0 for never."""
    prompts_again: Annotated[int, Field(ge=1, le=100)] = 1
    """How many items of one prompt the same rater may get."""
    lease_s: Annotated[int, Field(ge=30, le=86_400)] = 900
    """Seconds for which an assignment is kept for its rater; the page renews it while somebody works."""
    undo_s: Annotated[int, Field(ge=0, le=86_400)] = 600
    """Seconds within which the last judgment can be taken back; 0 for never."""
    ties: bool = True
    both_bad: bool = True
    strength: bool = True
    rationale: bool = True
    spans: bool = True
    edits: bool = True
    """Whether a rater may write a better answer, which becomes a demonstration once it is reviewed."""
    pay_per_hour: Annotated[float, Field(ge=0.0, le=10_000.0)] = 0.0
    """What an hour of rating costs, in any currency; 0: not counted."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.most_votes < self.votes:
            raise ValueError(f"most_votes is {self.most_votes}, below votes, which is {self.votes}")
        if len(set(self.dimensions)) < len(self.dimensions):
            raise ValueError("a dimension stands twice")
        return self


class Project(NamedTuple):
    """A project as it stands."""

    id: str
    name: str
    dataset: str
    settings: ProjectSettings
    status: Status
    created_by: str
    created_at_ms: int
    guidelines_version: int = 0


class Guidelines(NamedTuple):
    """One version of what raters are told; `version` 0 means that there are none yet."""

    version: int
    text: str
    author: str
    at_ms: int


NO_GUIDELINES = Guidelines(0, "", "", 0)


def create_project(unit: Unit, project_id: str, name: str, dataset: str, settings: ProjectSettings, by: str) -> Project:
    """Make a project; raises UsageError for an id that is no slug, Rejected where it is taken."""
    if not _ID.fullmatch(project_id):
        raise UsageError(f"{project_id[:60]!r} is no project id", cure="use lower-case letters, digits and hyphens")
    _check_name(name)
    if unit.connection.execute(select(projects.c.id).where(projects.c.id == project_id)).first():
        raise Rejected("conflict", f"there is a project {project_id!r} already", cure="choose another id")
    project = Project(project_id, name.strip(), dataset, settings, "open", by, unit.now_ms)
    row = project._asdict() | {"settings": _text(settings)}
    del row["guidelines_version"]
    unit.connection.execute(insert(projects).values(row))
    unit.note("console.project", {"by": by, "did": "create", "project": project_id, "dataset": dataset})
    return project


def change_project(unit: Unit, project: Project, by: str, **changes: Any) -> Project:
    """Change name, settings or status; what is not named stays."""
    changed = project._replace(**changes)
    _check_name(changed.name)
    values = {"name": changed.name, "settings": _text(changed.settings), "status": changed.status}
    unit.connection.execute(update(projects).where(projects.c.id == project.id).values(values))
    told = {name: json.loads(_text(value)) if name == "settings" else value for name, value in changes.items()}
    unit.note("console.project", {"by": by, "did": "change", "project": project.id, "to": told})
    return changed


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise UsageError("a project has a name of 1 to 200 printable characters")


def project_of(connection: Connection, project_id: str) -> Project:
    """The project; raises Rejected where there is none."""
    row = connection.execute(_FIND, {"of": project_id}).mappings().first()
    if row is None:
        raise Rejected("not_found", f"there is no project {project_id[:60]!r}")
    return project_of_row(row, row["guidelines_version"] or 0)


def all_projects(connection: Connection) -> list[Project]:
    """Every project, in order of id."""
    rows = connection.execute(_ALL.order_by(projects.c.id)).mappings()
    return [project_of_row(row, row["guidelines_version"] or 0) for row in rows]


def write_guidelines(unit: Unit, project: Project, text: str, by: str) -> Guidelines:
    """A new version; earlier ones stay, and every judgment says which one it was made under."""
    if not text.strip() or len(text) > MAX_GUIDELINES:
        raise UsageError(f"guidelines have 1 to {MAX_GUIDELINES} characters")
    found = Guidelines(project_of(unit.connection, project.id).guidelines_version + 1, text, by, unit.now_ms)
    unit.connection.execute(insert(guidelines).values(found._asdict() | {"project": project.id}))
    unit.note("console.guidelines", {"by": by, "project": project.id, "version": found.version, "text": text})
    return found


def guidelines_of(connection: Connection, project_id: str, version: int | None = None) -> Guidelines:
    """The newest version, or the one asked for; NO_GUIDELINES where there is none."""
    query = select(guidelines).where(guidelines.c.project == project_id)
    if version is not None:
        query = query.where(guidelines.c.version == version)
    row = connection.execute(query.order_by(guidelines.c.version.desc()).limit(1)).first()
    return NO_GUIDELINES if row is None else Guidelines(row.version, row.text, row.author, row.at_ms)


def project_of_row(row: RowMapping | Mapping[str, Any], guidelines_version: int) -> Project:
    """A row of the table as a project."""
    return Project(
        row["id"],
        row["name"],
        row["dataset"],
        _settings(row["settings"]),
        row["status"],
        row["created_by"],
        row["created_at_ms"],
        guidelines_version,
    )


@functools.lru_cache(maxsize=256)
def _settings(text: str) -> ProjectSettings:
    return ProjectSettings.model_validate(json.loads(text))


def _text(settings: ProjectSettings) -> str:
    return canonical_json(settings.model_dump(mode="json")).decode()
