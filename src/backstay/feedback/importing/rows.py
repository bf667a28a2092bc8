"""Rows out of jsonl, csv and Parquet files: dictionaries with line numbers, or what is wrong with a line."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from backstay.errors import ImportRefused, UsageError
from backstay.feedback.importing.lines import ReadLimits, read_lines, require_file

Format = Literal["jsonl", "csv", "parquet"]
_SUFFIXES: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_PARQUET_ROWS = 64


class RowProblem(Exception):
    """One row breaks the format; its line number is added by whoever reads the file."""


class SourceRow(NamedTuple):
    """A row, or why there is none. `line` counts physical lines from 1; rows in Parquet."""

    line: int
    values: dict[str, Any]
    problem: str = ""


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


def text_of(value: Any, name: str) -> str:
    """The value as text that every later stage can hold; raises RowProblem otherwise."""
    if not isinstance(value, str):
        raise RowProblem(f"{name} is {_kind(value)}, not text")
    if "\x00" in value:
        raise RowProblem(f"{name} contains a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowProblem(f"{name} is not valid Unicode text at character {error.start}") from error
    return value


def parse_json(text: str | bytes) -> Any:
    """Strict JSON: no duplicate keys, no NaN, no bottomless nesting; raises RowProblem."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise RowProblem(f"not valid UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise RowProblem("JSON is nested too deeply") from error
    except ValueError as error:
        raise RowProblem(f"not valid JSON: {error}") from error


def _json_rows(path: Path, limits: ReadLimits) -> Iterator[SourceRow]:
    for number, content in read_lines(path, limits):
        if content is None:
            yield SourceRow(number, {}, f"longer than {limits.max_line_bytes} bytes")
        elif content.strip():
            try:
                yield SourceRow(number, _object(content))
            except RowProblem as problem:
                yield SourceRow(number, {}, str(problem))


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = parse_json(content.decode())
    except UnicodeDecodeError as error:
        raise RowProblem(f"not valid UTF-8 at byte {error.start}") from error
    if not isinstance(value, dict):
        raise RowProblem(f"is {_kind(value)}, not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def _csv_rows(path: Path, limits: ReadLimits) -> Iterator[SourceRow]:
    former = csv.field_size_limit(limits.max_line_bytes)
    reader = csv.reader(_csv_lines(path, limits), strict=True)
    try:
        header = next(reader, [])
        _check_header(path, header)
        yield from _csv_body(reader, header)
    except csv.Error as error:
        raise ImportRefused(f"{path}: line {reader.line_num}: cannot be read as CSV from here on: {error}") from error
    finally:
        csv.field_size_limit(former)


def _csv_body(reader: Any, header: list[str]) -> Iterator[SourceRow]:
    line = reader.line_num + 1
    for values in reader:
        if values and len(values) != len(header):
            yield SourceRow(line, {}, f"has {len(values)} columns, the header has {len(header)}")
        elif values:
            yield SourceRow(line, dict(zip(header, values, strict=True)))
        line = reader.line_num + 1


def _csv_lines(path: Path, limits: ReadLimits) -> Iterator[str]:
    """Decoded lines. Bytes that are not UTF-8 become surrogates, so that text_of refuses the row that holds them."""
    for number, content in read_lines(path, limits):
        if content is None:
            raise ImportRefused(f"{path}: line {number}: longer than {limits.max_line_bytes} bytes")
        yield content.decode(errors="surrogateescape")


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
            _check_header(path, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                size += batch.nbytes
                if size > limits.max_bytes:
                    raise ImportRefused(f"{path} holds more than {limits.max_bytes} bytes", cure="split it")
                for line, values in enumerate(batch.to_pylist(), start=line + 1):  # noqa: B020  counts on over batches
                    yield _parquet_row(line, values, limits)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ImportRefused(f"{path}: cannot be read as Parquet after row {line}: {error}") from error


def _parquet_row(line: int, values: dict[str, Any], limits: ReadLimits) -> SourceRow:
    if any(isinstance(value, str) and len(value) > limits.max_line_bytes for value in values.values()):
        return SourceRow(line, {}, f"has a value longer than {limits.max_line_bytes} bytes")
    return SourceRow(line, values)
