"""What is wrong with one row of a file, and exactly where."""

from dataclasses import asdict, dataclass
from typing import Any

Path = tuple[str | int, ...]
KEPT_TEXT = 2000
"""Characters of a refused row that are kept beside its problem."""


class RowProblem(Exception):
    """One row breaks the format; `path` leads to the value at fault, by keys and places from the row down."""

    def __init__(self, message: str, *path: str | int, offset: int | None = None) -> None:
        super().__init__(message)
        self.path: Path = path
        self.offset = offset
        """Place in the row's JSON text where it stops being JSON; None when it is JSON."""

    def below(self, *path: str | int) -> "RowProblem":
        """The same problem as seen from further up."""
        self.path = (*path, *self.path)
        return self


@dataclass(frozen=True)
class Problem:
    """A refused row. `line` and `column` count from 1.

    In JSON, `column` counts characters; in csv and Parquet it is the number of the column, and `line` is the row in
    Parquet. `field` names what is at fault. `text` is the row as it stands, cut after 2000 characters.
    """

    line: int
    column: int
    field: str
    problem: str
    text: str = ""

    def __str__(self) -> str:
        """For people, without the row's text."""
        named = f" ({self.field})" if self.field else ""
        return f"line {self.line}, column {self.column}{named}: {self.problem}"

    def payload(self) -> dict[str, Any]:
        """As plain JSON data."""
        return asdict(self)


def bounded(raw: str | bytes) -> str:
    """The beginning of a row as text that can be written; what is no text is shown as its escape."""
    if isinstance(raw, bytes):
        raw = raw[: 4 * KEPT_TEXT].decode(errors="backslashreplace")
    return raw[:KEPT_TEXT].encode(errors="backslashreplace").decode().rstrip("\r\n")
