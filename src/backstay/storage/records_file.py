"""Files of records between stages: one canonical JSON a line."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from backstay.errors import IntegrityError, UsageError
from backstay.records import Record
from backstay.storage.atomic import atomic_file

R = TypeVar("R", bound=Record)


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write records as canonical JSON lines, whole or not at all; returns how many."""
    count = 0
    with atomic_file(path) as file:
        for record in records:
            file.write(record.to_json().encode() + b"\n")
            count += 1
    return count


def read_records(path: Path, kind: type[R]) -> list[R]:
    """Read every record of a file; an IntegrityError names the file and line of the first that does not fit."""
    if not path.is_file():
        raise UsageError(f"no file {path} with {kind.__name__} records", cure="run the stage that writes it")
    records = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            records.append(_parse(path, number, line, kind))
    return records


def _parse(path: Path, number: int, line: bytes, kind: type[R]) -> R:
    if not line.endswith(b"\n"):
        raise IntegrityError(f"{path}:{number}: the last line is cut off", cure="run the stage that writes it again")
    try:
        return kind.from_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "line"
        raise IntegrityError(f"{path}:{number}: not a {kind.__name__}: {place}: {first['msg']}") from error
