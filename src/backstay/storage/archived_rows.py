"""Rows as a backup holds them: one JSON array a line, the same for every database."""

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Table

from backstay.errors import IntegrityError, UsageError
from backstay.storage.archive import MAX_RAW

CHUNK_BYTES = 4 * 1024 * 1024
_KINDS = {str: "text", int: "integer", float: "real", bytes: "bytes", bool: "boolean"}
_TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "real": (float, int),
    "bytes": (bytes,),
    "boolean": (bool, int),
}


def columns_of(table: Table) -> tuple[tuple[str, str], ...]:
    """Names and kinds of a table's columns."""
    return tuple((column.name, _KINDS[column.type.python_type]) for column in table.columns)


def chunks(rows: Iterable[Sequence[Any]], table: str) -> Iterator[bytes]:
    """Rows as lines, in pieces of about 4 MiB."""
    lines: list[bytes] = []
    size = 0
    for row in rows:
        line = json.dumps([_plain(value) for value in row], separators=(",", ":")).encode() + b"\n"
        if len(line) > MAX_RAW:
            raise UsageError(f"a row of {table} has {len(line)} bytes; a backup holds at most {MAX_RAW} a row")
        if lines and size + len(line) > CHUNK_BYTES:
            yield b"".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield b"".join(lines)


def rows_of(content: bytes, columns: Sequence[tuple[str, str]], place: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a piece; raises IntegrityError for a line that does not fit the columns."""
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            values = [_value(value) for value in json.loads(line)]
        except (ValueError, TypeError, KeyError, RecursionError):
            values = []
        if len(values) != len(columns) or not all(map(_fits, values, columns)):
            raise IntegrityError(f"line {number} of {place} in the backup is no row of its table")
        yield tuple(values)


def _plain(value: Any) -> Any:
    return {"b": base64.b64encode(value).decode()} if isinstance(value, bytes | memoryview) else value


def _value(value: Any) -> Any:
    return base64.b64decode(value["b"], validate=True) if isinstance(value, dict) else value


def _fits(value: Any, column: tuple[str, str]) -> bool:
    if value is None:
        return True
    return isinstance(value, _TYPES[column[1]]) and (column[1] == "boolean" or not isinstance(value, bool))
