"""Tables with a judgment a row and a rater id: csv, jsonl and Parquet, read through a column map."""

import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from backstay.errors import ImportRefused, UsageError
from backstay.feedback.importing.cells import RowReader
from backstay.feedback.importing.intake import Reading
from backstay.feedback.importing.judged import HELDOUT_SHARE, Verdict
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.parsed import ParsedImport, parse
from backstay.feedback.importing.rows import Format, SourceRow, format_of, read_rows
from backstay.records import Dimension, Settings

REQUIRED = ("prompt", "response_a", "response_b", "choice", "rater")
OPTIONAL = (
    "gold",
    "duration_ms",
    "created_at",
    "rationale",
    "cohort",
    "dimension",
    "first_shown",
    "simulated",
    "strength",
    "flags",
    "spans",
    "purpose",
)
GUARD = "formula_guard"
"""The column by which a csv of ours says that cells that a spreadsheet would run carry an apostrophe in front."""


class TableSettings(Settings):
    """How a table is to be read."""

    columns: dict[str, str] = Field(default_factory=dict)
    """Our name -> the file's column, where they differ. Required: prompt, response_a, response_b, choice,
    rater; optional: gold, duration_ms, created_at, rationale, cohort, dimension, first_shown, simulated,
    strength, flags, spans, purpose."""
    values: dict[str, str] = Field(default_factory=dict)
    """The file's choice value -> a, b, tie or both_bad; empty = those words themselves, and 0 for a, 1 for b."""
    prompt_kind: Literal["text", "messages"] = "text"
    """`messages`: text in the prompt column is JSON, a list of role and content; `text`: it is one user's turn."""
    a_shown_first: bool = False
    """Whether raters saw response_a first in every row; false = the order is unknown unless a column tells."""
    dimension: Dimension = "overall"
    """What was judged, where no column says so."""
    heldout_share: float = HELDOUT_SHARE
    """Share of prompts kept out of training; 0 = none."""


def read_table(
    path: Path, *, dataset: str, settings: TableSettings | None = None, limits: ReadLimits | None = None
) -> ParsedImport:
    """Parse a csv, jsonl (each also as .gz) or Parquet file of judgments; stores nothing."""
    return parse(path, dataset, table_reading(path, settings or TableSettings(), limits or ReadLimits()))


def table_reading(path: Path, settings: TableSettings, limits: ReadLimits) -> Reading:
    """The rows of such a file, and how they are read."""
    kind = format_of(path)
    header, rows = _with_header(read_rows(path, kind, limits))
    columns = _resolve(path, settings, header, kind)
    guarded = kind == "csv" and GUARD in header
    reader = RowReader(settings, columns, guarded=guarded)
    ignored = sorted(set(header) - set(columns.values()) - ({GUARD} if guarded else set()))
    notes = (f"columns not read: {', '.join(ignored)}",) if ignored else ()
    return Reading("table", rows, reader.item, settings.heldout_share, lambda: notes)


def _with_header(rows: Iterator[SourceRow]) -> tuple[list[str], Iterable[SourceRow]]:
    """The columns of the first sound row, and all rows."""
    seen: list[SourceRow] = []
    for row in rows:
        seen.append(row)
        if not row.problem:
            break
    header = [] if not seen or seen[-1].problem else list(seen[-1].values)
    return header, itertools.chain(seen, rows)


def _resolve(path: Path, settings: TableSettings, header: list[str], kind: Format) -> dict[str, str]:
    """Our name -> the file's column, for every column that is there."""
    for name in settings.columns.keys() - {*REQUIRED, *OPTIONAL}:
        near = difflib.get_close_matches(name, (*REQUIRED, *OPTIONAL), n=1)
        raise UsageError(
            f"the column map names {name!r}, which is not known", cure=f"did you mean {near[0]!r}?" if near else None
        )
    _check_values(settings.values)
    wanted = {name: settings.columns.get(name, name) for name in (*REQUIRED, *OPTIONAL)}
    # A row of jsonl may leave an optional key out, the first row too; a column of the other formats is there or not.
    must = set(REQUIRED) if kind == "jsonl" else {*REQUIRED, *settings.columns}
    missing = [wanted[name] for name in wanted if name in must and wanted[name] not in header]
    if missing and header:
        instead = "; or import it as unjudged, to have it judged" if missing[0] == wanted["choice"] else ""
        raise no_column(path, missing[0], header, ", ".join(REQUIRED) + instead)
    return wanted if kind == "jsonl" else {name: column for name, column in wanted.items() if column in header}


def no_column(path: Path, name: str, header: Sequence[str], ours: str) -> ImportRefused:
    """The refusal of a file without a column that is needed."""
    there = ", ".join(repr(one) for one in header[:30])
    return ImportRefused(
        f"{path} has no column {name!r}; it has {there}", cure=f"map our names to the file's columns: {ours}"
    )


def _check_values(values: Mapping[str, str]) -> None:
    for value in values.values():
        if value not in get_args(Verdict):
            raise UsageError(f"the value map leads to {value!r}", cure=f"use one of {', '.join(get_args(Verdict))}")
