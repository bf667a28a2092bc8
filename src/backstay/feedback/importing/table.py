"""Tables with a judgment a row and a rater id: csv, jsonl and Parquet, read through a column map."""

import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic import Field

from backstay.errors import ImportRefused, UsageError
from backstay.feedback.importing.lines import ReadLimits
from backstay.feedback.importing.parsed import HELDOUT_SHARE, Collector, JudgedPair, ParsedImport, Verdict
from backstay.feedback.importing.rows import Format, RowProblem, SourceRow, format_of, parse_json, read_rows, text_of
from backstay.feedback.importing.trl import messages_of
from backstay.records import Dimension, Message, Rater, Settings

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
)
VALUES: dict[str, Verdict] = {"a": "a", "b": "b", "tie": "tie", "both_bad": "both_bad", "0": "a", "1": "b"}
_MAX_ID = 190
Letter = Literal["a", "b"]


class TableSettings(Settings):
    """How a table is to be read."""

    columns: dict[str, str] = Field(default_factory=dict)
    """Our name -> the file's column, where they differ. Required: prompt, response_a, response_b, choice,
    rater; optional: gold, duration_ms, created_at, rationale, cohort, dimension, first_shown, simulated."""
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
    chosen = settings or TableSettings()
    kind = format_of(path)
    header, rows = _with_header(read_rows(path, kind, limits or ReadLimits()))
    columns = _resolve(path, chosen, header, kind)
    reader = _RowReader(chosen, columns)
    collector = Collector("table", path, dataset, chosen.heldout_share)
    collector.read(rows, reader.pair)
    ignored = sorted(set(header) - set(columns.values()))
    return collector.result((f"columns not read: {', '.join(ignored)}",) if ignored else ())


def parse_time(text: str) -> str:
    """An ISO 8601 time, or one that ends in " UTC", as the journal writes times; without a zone it is taken as UTC."""
    try:
        found = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
    except ValueError as error:
        raise RowProblem(f"created_at is no ISO 8601 time: {text[:40]!r}") from error
    zoned = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return zoned.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
        raise ImportRefused(
            f"{path} has no column {missing[0]!r}; it has {', '.join(repr(name) for name in header[:30])}",
            cure="map our names to the file's columns: prompt, response_a, response_b, choice, rater",
        )
    return wanted if kind == "jsonl" else {name: column for name, column in wanted.items() if column in header}


def _check_values(values: Mapping[str, str]) -> None:
    for value in values.values():
        if value not in get_args(Verdict):
            raise UsageError(f"the value map leads to {value!r}", cure=f"use one of {', '.join(get_args(Verdict))}")


class _RowReader:
    """Reads one row through the column map."""

    def __init__(self, settings: TableSettings, columns: Mapping[str, str]) -> None:
        self._settings = settings
        self._columns = columns
        self._values = cast("dict[str, Verdict]", settings.values) or VALUES

    def pair(self, row: dict[str, Any]) -> JudgedPair:
        """The row as a judged pair; raises RowProblem."""
        verdict = self._verdict(self._required(row, "choice"), "choice")
        return JudgedPair(
            messages=self._messages(self._required(row, "prompt")),
            text_a=self._response(row, "response_a"),
            text_b=self._response(row, "response_b"),
            verdict=verdict,
            rater=self._rater(row),
            dimension=self._dimension(row),
            gold=self._letter(row, "gold"),
            first_shown=self._letter(row, "first_shown") or ("a" if self._settings.a_shown_first else None),
            duration_ms=self._duration(row),
            created_at=parse_time(text) if (text := self._text(row, "created_at")) else "",
            rationale=self._text(row, "rationale"),
        )

    def _required(self, row: dict[str, Any], name: str) -> Any:
        value = row.get(self._columns[name])
        if value is None or value == "":
            raise RowProblem(f"has no {name}")
        return value

    def _response(self, row: dict[str, Any], name: str) -> str:
        """An answer may be empty: models do give empty answers, and screening deals with them."""
        value = row.get(self._columns[name])
        if value is None:
            raise RowProblem(f"has no {name}")
        return text_of(value, name)

    def _text(self, row: dict[str, Any], name: str) -> str:
        value = row.get(self._columns.get(name, ""))
        return "" if value is None else text_of(value, name)

    def _messages(self, value: Any) -> tuple[Message, ...]:
        if isinstance(value, list):
            return messages_of(value, "prompt")
        text = text_of(value, "prompt")
        if self._settings.prompt_kind == "messages":
            return messages_of(parse_json(text), "prompt")
        return (Message(role="user", content=text),)

    def _verdict(self, value: Any, name: str) -> Verdict:
        key = value if isinstance(value, str) else str(value)
        if isinstance(value, bool) or key not in self._values:
            raise RowProblem(f"{name} is {key[:40]!r}; accepted: {', '.join(self._values)}")
        return self._values[key]

    def _letter(self, row: dict[str, Any], name: str) -> Letter | None:
        """A column that names one of the two responses, with the values of `choice`; empty = unknown."""
        value = row.get(self._columns.get(name, ""))
        if value is None or value == "":
            return None
        verdict = self._verdict(value, name)
        if verdict not in ("a", "b"):
            raise RowProblem(f"{name} is {verdict}, not one of the two responses")
        return verdict

    def _rater(self, row: dict[str, Any]) -> Rater:
        value = self._required(row, "rater")
        rater_id = str(value) if isinstance(value, int) and not isinstance(value, bool) else text_of(value, "rater")
        if not rater_id.strip() or len(rater_id) > _MAX_ID or not rater_id.isprintable():
            raise RowProblem(f"rater {rater_id[:40]!r} is not 1 to {_MAX_ID} printable characters")
        cohort = self._text(row, "cohort")
        return Rater(
            id=rater_id,
            display_name=rater_id,
            cohort={"cohort": cohort} if cohort else {},
            simulated=self._simulated(row),
        )

    def _simulated(self, row: dict[str, Any]) -> bool:
        value = row.get(self._columns.get("simulated", ""))
        word = str(value).lower()
        if word not in ("true", "false", "", "none"):
            raise RowProblem(f"simulated is {word[:40]!r}, not true or false")
        return word == "true"

    def _dimension(self, row: dict[str, Any]) -> Dimension:
        found = self._text(row, "dimension") or self._settings.dimension
        if found not in get_args(Dimension):
            raise RowProblem(f"dimension is {found[:40]!r}; accepted: {', '.join(get_args(Dimension))}")
        return cast("Dimension", found)

    def _duration(self, row: dict[str, Any]) -> int | None:
        value = row.get(self._columns.get("duration_ms", ""))
        if value is None or value == "":
            return None
        try:
            found = int(value)
        except (TypeError, ValueError, OverflowError):
            found = -1
        if isinstance(value, bool) or found < 0 or found > 2**53 or (isinstance(value, float) and found != value):
            raise RowProblem(f"duration_ms is {str(value)[:40]!r}, not a whole number of milliseconds")
        return found
