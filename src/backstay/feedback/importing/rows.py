"""Rows out of jsonl, csv and Parquet files: dictionaries with line numbers, or what is wrong with a line."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from backstay.errors import ImportRefused, UsageError
from backstay.feedback.importing.json_text import offset_of, parse_json
from backstay.feedback.importing.lines import ReadLimits, read_lines, require_file
from backstay.feedback.importing.problems import KEPT_TEXT, Problem, RowProblem, bounded

Format = Literal["jsonl", "csv", "parquet"]
_SUFFIXES: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_PARQUET_ROWS = 64


class SourceRow(NamedTuple):
    """A row, or why there is none. `line` counts physical lines from 1; rows in Parquet.

    `number` tells rows of one file apart. `raw` is the text of JSON, or the beginning of a csv row; in a JSON document
    it begins at `start`, a column of the line. `names` are the columns of a table.
    """

    line: int
    values: dict[str, Any]
    problem: str = ""
    number: int = 0
    raw: str | bytes = ""
    start: int = 1
    names: tuple[str, ...] = ()
    offset: int | None = None


def format_of(path: Path) -> Format:
    """The format that a file name announces; `.gz` behind it does not matter."""
    name = path.name.lower().removesuffix(".gz")
    for suffix, found in _SUFFIXES.items():
        if name.endswith(suffix):
            return found
    raise UsageError(f"cannot tell the format of {path.name}", cure=f"end its name with one of {', '.join(_SUFFIXES)}")


def read_rows(path: Path, kind: Format, limits: ReadLimits) -> Iterator[SourceRow]:
    """Rows in file order. Raises ImportRefused where the file as a whole cannot be read."""
    readers = {"jsonl": _json_rows, "csv": _csv_rows, "parquet": _parquet_rows}
    return readers[kind](path, limits)


def text_of(value: Any, name: str, *path: str | int) -> str:
    """The value as text that every later stage can hold; raises RowProblem otherwise."""
    if not isinstance(value, str):
        raise RowProblem(f"{name} is {kind_of(value)}, not text", *path)
    if "\x00" in value:
        raise RowProblem(f"{name} contains a NUL character", *path)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowProblem(f"{name} is not valid Unicode text at character {error.start}", *path) from error
    return value


def kind_of(value: Any) -> str:
    """What a value is, for messages."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def problem_of(row: SourceRow, problem: RowProblem) -> Problem:
    """The problem with its place in the file."""
    named = ".".join(map(str, problem.path))
    if row.names:
        first = problem.path[0] if problem.path else None
        column = row.names.index(str(first)) + 1 if first in row.names else 1
        raw = row.raw or json.dumps(row.values, ensure_ascii=False, default=repr)
        return Problem(row.line, column, named, str(problem), bounded(raw))
    text = row.raw.decode(errors="replace") if isinstance(row.raw, bytes) else row.raw
    offset = problem.offset if problem.offset is not None else row.offset
    if offset is None:
        offset = offset_of(text, problem.path) if row.values else 0
    before = text[:offset]
    lines = before.count("\n")
    column = offset - before.rfind("\n") if lines else row.start + offset
    return Problem(row.line + lines, column, named, str(problem), bounded(text))


def json_row(line: int, content: str | bytes, number: int = 0, start: int = 1) -> SourceRow:
    """JSON text as a row; what is no object is a problem."""
    try:
        value = parse_json(content)
        if not isinstance(value, dict):
            raise RowProblem(f"is {kind_of(value)}, not an object")
    except RowProblem as problem:
        return SourceRow(line, {}, str(problem), number or line, content, start, offset=problem.offset or 0)
    return SourceRow(line, value, "", number or line, content, start)


def _json_rows(path: Path, limits: ReadLimits) -> Iterator[SourceRow]:
    for number, content in read_lines(path, limits):
        if content is None:
            yield SourceRow(number, {}, f"longer than {limits.max_line_bytes} bytes", number)
        elif content.strip():
            yield json_row(number, content.rstrip(b"\r\n"))


def _csv_rows(path: Path, limits: ReadLimits) -> Iterator[SourceRow]:
    former = csv.field_size_limit(limits.max_line_bytes)
    kept: list[str] = []
    reader = csv.reader(_csv_lines(path, limits, kept), strict=True)
    try:
        header = next(reader, [])
        _check_header(path, header)
        yield from _csv_body(reader, tuple(header), kept)
    except csv.Error as error:
        place = f"line {reader.line_num}: cannot be read as CSV from here on"
        raise ImportRefused(f"{path}: {place}: {error}", cure="mend the quotes and line ends of that line") from error
    finally:
        csv.field_size_limit(former)


def _csv_body(reader: Any, header: tuple[str, ...], kept: list[str]) -> Iterator[SourceRow]:
    line = reader.line_num + 1
    kept.clear()
    for values in reader:
        raw = "".join(kept)
        kept.clear()
        if values and len(values) != len(header):
            said = f"has {len(values)} columns, the header has {len(header)}"
            yield SourceRow(line, {}, said, line, raw, names=header)
        elif values:
            yield SourceRow(line, dict(zip(header, values, strict=True)), "", line, raw, names=header)
        line = reader.line_num + 1


def _csv_lines(path: Path, limits: ReadLimits, kept: list[str]) -> Iterator[str]:
    """Decoded lines. Bytes that are not UTF-8 become surrogates, so that text_of refuses the row that holds them.

    The beginning of what was read since `kept` was last emptied stays in it.
    """
    for number, content in read_lines(path, limits):
        if content is None:
            raise ImportRefused(f"{path}: line {number}: longer than {limits.max_line_bytes} bytes")
        text = content.decode(errors="surrogateescape")
        if len(kept) < KEPT_TEXT:
            kept.append(text[:KEPT_TEXT])
        yield text


def _check_header(path: Path, header: Iterable[str]) -> None:
    names = list(header)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ImportRefused(f"{path}: the column {twice[0]!r} comes twice")


def _parquet_rows(path: Path, limits: ReadLimits) -> Iterator[SourceRow]:
    import pyarrow as pa  # noqa: PLC0415  slow to import, and needed for this format only
    import pyarrow.parquet as pq  # noqa: PLC0415  as above

    require_file(path)
    line = size = 0
    try:
        with pq.ParquetFile(path) as file:
            names = tuple(file.schema_arrow.names)
            _check_header(path, names)
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                size += batch.nbytes
                if size > limits.max_bytes:
                    raise ImportRefused(f"{path} holds more than {limits.max_bytes} bytes", cure="split it")
                for line, values in enumerate(batch.to_pylist(), start=line + 1):  # noqa: B020  counts on over batches
                    yield _parquet_row(line, values, names, limits)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ImportRefused(f"{path}: cannot be read as Parquet after row {line}: {error}") from error


def _parquet_row(line: int, values: dict[str, Any], names: tuple[str, ...], limits: ReadLimits) -> SourceRow:
    if any(isinstance(value, str) and len(value) > limits.max_line_bytes for value in values.values()):
        return SourceRow(line, {}, f"has a value longer than {limits.max_line_bytes} bytes", line, names=names)
    return SourceRow(line, values, "", line, names=names)
