"""One file of the operator: who may approve, how approvals behave, and which webhooks hear of them."""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backstay.errors import UsageError
from backstay.policy.yaml_reading import read_yaml

Name = Annotated[str, Field(min_length=1, max_length=100)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]


class Settings(BaseModel):
    """How approvals behave beyond what policy says of each."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    escalate_after_s: Seconds | None = None
    """Seconds after which `escalate_to` may approve too; None never."""

    escalate_to: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    """Roles that are added; how many people are needed does not change."""

    break_glass_most: Annotated[int, Field(ge=0, le=1000)] = 3
    """How often the glass may be broken within `break_glass_window_s`; 0 never."""

    break_glass_window_s: Seconds = 86_400.0
    """Seconds."""

    max_open: Annotated[int, Field(ge=1)] = 200
    """Open approvals of one principal, so that nobody is worn down by questions."""

    void_on_policy_change: bool = False
    """Whether any other policy hash at execution asks for fresh votes, even where it demands no more."""

    webhooks: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    """Names of the webhooks that hear of events; from a file, those under its `webhooks`."""


class Webhook(BaseModel):
    """Where events go."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    url: str
    secret_file: str
    """A file of at least 32 random bytes that only its owner can read; relative to the file it stands in."""

    allow_private: bool = False
    """Whether the address may lie in a private network."""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    approvers: list[Any]
    settings: Settings = Settings()
    webhooks: Annotated[tuple[Webhook, ...], Field(strict=False)] = ()


class Read(NamedTuple):
    """What the file says; approvers are checked by `people`."""

    approvers: list[Any]
    settings: Settings
    webhooks: tuple[Webhook, ...]


def parse_settings(text: str, source: str) -> Read:
    """The parts of the file; raises UsageError with the place."""
    try:
        file = _File.model_validate(read_yaml(text, source))
    except ValidationError as error:
        raise UsageError(first_problem(error, source), cure=CURE) from error
    names = tuple(webhook.name for webhook in file.webhooks)
    if file.settings.webhooks or len(set(names)) < len(names):
        raise UsageError(f"{source}: webhooks are named once, under `webhooks`", cure=CURE)
    return Read(file.approvers, file.settings.model_copy(update={"webhooks": names}), file.webhooks)


def read_settings(path: Path) -> Read:
    """The parts of a file that only its owner can write; raises UsageError."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the approvers in {path}: {error}", cure=CURE) from error
    if mode & 0o022:
        raise UsageError(f"{path} can be written by others (mode {mode:04o})", cure=f"chmod go-w {path}")
    return parse_settings(text, str(path))


def read_secret(path: Path) -> bytes:
    """The secret of a webhook; raises UsageError when others can read it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        secret = path.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"cannot read the secret in {path}: {error}", cure="give secret_file a path") from error
    if mode & 0o077:
        raise UsageError(f"{path} is open to others (mode {mode:04o})", cure=f"chmod 600 {path}")
    return secret


def first_problem(error: ValidationError, source: str) -> str:
    """One line about the first thing that does not fit."""
    problem: Mapping[str, Any] = error.errors()[0]
    return f"{source}: {'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}"


CURE = "docs/guard/approvals.md shows an approvers file"
