"""Every error that Backstay raises on purpose.

    BackstayError                exit 1
    |-- UsageError               exit 2   a wrong option, a missing file, an unknown setting
    |   |-- RecipeError                   backstay.yaml does not resolve
    |   `-- ImportRefused                 rows of an import that break the format, with line numbers
    |-- GateRefused              exit 3   a gate said no
    |-- IntegrityError           exit 4   a journal, manifest, hash or signature does not hold
    |-- ResourceError            exit 1   too little memory or disk, a locked database
    `-- StageFailed              exit 1   a stage ended early with a named reason

A message says what was wrong, the value seen, and what is accepted or which command cures it.
"""

from typing import Any


class BackstayError(Exception):
    """Base of the tree; the command line prints its message without a traceback."""

    exit_code = 1

    def __init__(self, message: str, *, cure: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return self.message if self.cure is None else f"{self.message}\n  cure: {self.cure}"


class UsageError(BackstayError):
    """The user asked for something that does not exist or is not allowed."""

    exit_code = 2


class RecipeError(UsageError):
    """The recipe does not resolve: unknown key, wrong value, incompatible settings."""


class ImportRefused(UsageError):
    """An import holds rows that break its format; nothing of it was stored.

    `problems` are the bad rows in words, `rows` the same as data: line, column, field, problem and text of each.
    """

    def __init__(
        self,
        message: str,
        *,
        problems: tuple[str, ...] = (),
        rows: tuple[dict[str, Any], ...] = (),
        cure: str | None = None,
    ) -> None:
        super().__init__(message, cure=cure)
        self.problems = problems
        self.rows = rows


class GateRefused(BackstayError):
    """A gate refused a model; the result exists but may not ship."""

    exit_code = 3


class IntegrityError(BackstayError):
    """Stored data does not match its hash, chain or signature."""

    exit_code = 4


class ResourceError(BackstayError):
    """The machine cannot do it: memory, disk, or a lock held by another process."""


class StageFailed(BackstayError):
    """A stage ended before its goal; what it had is kept and the reason is named."""
