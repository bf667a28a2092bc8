"""The cells of one row of a table, read through a column map."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from pydantic import TypeAdapter, ValidationError

from backstay.feedback.importing.json_text import parse_json
from backstay.feedback.importing.judged import JudgedItem, Verdict, Vote, choice_of
from backstay.feedback.importing.problems import RowProblem
from backstay.feedback.importing.rows import text_of
from backstay.feedback.importing.trl import messages_of
from backstay.records import Dimension, Message, Rater, Span

if TYPE_CHECKING:
    from backstay.feedback.importing.table import TableSettings

VALUES: dict[str, Verdict] = {"a": "a", "b": "b", "tie": "tie", "both_bad": "both_bad", "0": "a", "1": "b"}
PURPOSES = ("vote", "consistency")
RUN_BY_SPREADSHEETS = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""First characters, as in a set of a regular expression, that make a spreadsheet take a cell for a formula."""
_GUARDED = re.compile(f"'+[{RUN_BY_SPREADSHEETS}]")
_MAX_ID = 190
_MAX_FLAGS = 20
_SPANS = TypeAdapter(tuple[Span, ...])
Letter = Literal["a", "b"]
PromptKind = Literal["text", "messages"]


def parse_time(text: str, *where: str | int) -> str:
    """An ISO 8601 time, or one that ends in " UTC", as the journal writes times; without a zone it is taken as UTC."""
    try:
        found = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
        zoned = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise RowProblem(f"created_at is no ISO 8601 time: {text[:40]!r}", *where) from error
    return zoned.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class RowReader:
    """Reads one row; `guarded` takes the apostrophe off that our csv puts before what a spreadsheet would run."""

    def __init__(self, settings: "TableSettings", columns: Mapping[str, str], *, guarded: bool = False) -> None:
        self._settings = settings
        self._columns = columns
        self._values = cast("dict[str, Verdict]", settings.values) or VALUES
        self._guarded = guarded

    def item(self, row: dict[str, Any]) -> JudgedItem:
        """The row as a judged pair; raises RowProblem."""
        if self._guarded:
            row = {name: unguarded(value) if isinstance(value, str) else value for name, value in row.items()}
        verdict = self._verdict(self._required(row, "choice"), "choice")
        messages = prompt_of(self._required(row, "prompt"), self._settings.prompt_kind, self._columns["prompt"])
        texts = (self._response(row, "response_a"), self._response(row, "response_b"))
        gold = self._letter(row, "gold")
        first = self._letter(row, "first_shown") or ("a" if self._settings.a_shown_first else None)
        vote = Vote(
            rater=self._rater(row),
            choice=choice_of(verdict),
            dimension=self._dimension(row),
            shown=() if first is None else ((0, 1) if first == "a" else (1, 0)),
            spans=self._spans(row, texts),
            extra=self._extra(row),
        )
        return JudgedItem(messages, texts, (vote,), gold=None if gold is None else "ab".index(gold))

    def _extra(self, row: dict[str, Any]) -> dict[str, Any]:
        """The other fields of the judgment."""
        created, purpose = self._text(row, "created_at"), self._text(row, "purpose") or "vote"
        if purpose not in PURPOSES:
            raise self._problem("purpose", f"is {purpose[:40]!r}; accepted: {', '.join(PURPOSES)}")
        return {
            "created_at": parse_time(created, self._columns["created_at"]) if created else "",
            "rationale": self._text(row, "rationale"),
            "duration_ms": self._duration(row),
            "strength": self._strength(row),
            "flags": self._flags(row),
            "purpose": purpose,
        }

    def _problem(self, name: str, said: str) -> RowProblem:
        return RowProblem(f"{name} {said}", self._columns.get(name, name))

    def _required(self, row: dict[str, Any], name: str) -> Any:
        value = row.get(self._columns[name])
        if value is None or value == "":
            raise RowProblem(f"has no {name}", self._columns[name])
        return value

    def _response(self, row: dict[str, Any], name: str) -> str:
        """An answer may be empty: models do give empty answers, and screening deals with them."""
        value = row.get(self._columns[name])
        if value is None:
            raise RowProblem(f"has no {name}", self._columns[name])
        return text_of(value, name, self._columns[name])

    def _text(self, row: dict[str, Any], name: str) -> str:
        value = row.get(self._columns.get(name, ""))
        return "" if value is None else text_of(value, name, self._columns[name])

    def _verdict(self, value: Any, name: str) -> Verdict:
        key = value if isinstance(value, str) else str(value)
        if isinstance(value, bool) or key not in self._values:
            raise self._problem(name, f"is {key[:40]!r}; accepted: {', '.join(self._values)}")
        return self._values[key]

    def _letter(self, row: dict[str, Any], name: str) -> Letter | None:
        """A column that names one of the two responses, with the values of `choice`; empty = unknown."""
        value = row.get(self._columns.get(name, ""))
        if value is None or value == "":
            return None
        verdict = self._verdict(value, name)
        if verdict not in ("a", "b"):
            raise self._problem(name, f"is {verdict}, not one of the two responses")
        return verdict

    def _rater(self, row: dict[str, Any]) -> Rater:
        value = self._required(row, "rater")
        rater_id = (
            str(value)
            if isinstance(value, int) and not isinstance(value, bool)
            else text_of(value, "rater", self._columns["rater"])
        )
        if not rater_id.strip() or len(rater_id) > _MAX_ID or not rater_id.isprintable():
            raise self._problem("rater", f"{rater_id[:40]!r} is not 1 to {_MAX_ID} printable characters")
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
            raise self._problem("simulated", f"is {word[:40]!r}, not true or false")
        return word == "true"

    def _dimension(self, row: dict[str, Any]) -> Dimension:
        found = self._text(row, "dimension") or self._settings.dimension
        if found not in get_args(Dimension):
            raise self._problem("dimension", f"is {found[:40]!r}; accepted: {', '.join(get_args(Dimension))}")
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
            raise self._problem("duration_ms", f"is {str(value)[:40]!r}, not a whole number of milliseconds")
        return found

    def _strength(self, row: dict[str, Any]) -> float | None:
        value = row.get(self._columns.get("strength", ""))
        if value is None or value == "":
            return None
        try:
            found = float(value)
        except (TypeError, ValueError, OverflowError):
            found = -1.0
        if isinstance(value, bool) or not 0.0 <= found < 2**53:
            raise self._problem("strength", f"is {str(value)[:40]!r}, not a number from 0")
        return found

    def _flags(self, row: dict[str, Any]) -> tuple[str, ...]:
        value = row.get(self._columns.get("flags", ""))
        if isinstance(value, str):
            value = value.split() if value.strip() else None
        if value is None:
            return ()
        named = isinstance(value, list) and all(isinstance(flag, str) and 0 < len(flag) <= 40 for flag in value)
        if not named or len(value) > _MAX_FLAGS:
            raise self._problem("flags", f"is no list of at most {_MAX_FLAGS} words")
        return tuple(text_of(flag, "flags", self._columns["flags"]) for flag in value)

    def _spans(self, row: dict[str, Any], texts: tuple[str, ...]) -> tuple[Span, ...]:
        value = row.get(self._columns.get("spans", ""))
        if isinstance(value, str):
            value = json_cell("spans", value, self._columns["spans"]) if value.strip() else None
        if value is None:
            return ()
        try:
            found = _SPANS.validate_python(value)
        except ValidationError as error:
            said = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise self._problem("spans", f"is no list of response, start, end and label: {said}") from error
        for span in found:
            if span.response >= len(texts) or span.end > len(texts[span.response]):
                raise self._problem("spans", f"has one from {span.start} to {span.end}, outside its response")
        return found


def prompt_of(value: Any, kind: PromptKind, column: str) -> tuple[Message, ...]:
    """A prompt's cell: a list of messages, JSON text of one where that is the `kind`, else one user's turn."""
    if isinstance(value, list):
        return messages_of(value, "prompt", column)
    text = text_of(value, "prompt", column)
    if kind == "messages":
        return messages_of(json_cell("prompt", text, column), "prompt", column)
    return (Message(role="user", content=text),)


def json_cell(name: str, text: str, column: str) -> Any:
    """JSON in a cell; raises RowProblem that says what `name` is instead."""
    try:
        return parse_json(text)
    except RowProblem as problem:
        raise RowProblem(f"{name} is {problem}", column) from problem


def unguarded(cell: str) -> str:
    """The cell without the apostrophe that keeps a spreadsheet from running it."""
    return cell[1:] if _GUARDED.match(cell) else cell


def guarded(cell: str) -> str:
    """The cell with an apostrophe in front where a spreadsheet would run it, or where `unguarded` would change it."""
    return f"'{cell}" if _GUARDED.match(f"'{cell}") else cell
