"""Lines of a file that somebody else wrote: plain or gzip, with bounds on everything."""

import contextlib
import gzip
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple, cast

from pydantic import Field

from backstay.errors import ImportRefused, UsageError
from backstay.records import Settings

Size = Annotated[int, Field(gt=0)]
_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class ReadLimits(Settings):
    """How much of an imported file is read before it is refused."""

    max_bytes: Size = 4 * 2**30
    """Bytes after decompression, over the whole file."""
    max_line_bytes: Size = 8 * 2**20
    """Bytes a line, its end included; in Parquet, bytes a value."""


class Line(NamedTuple):
    """A line with its end; `content` is None when it is longer than the limit."""

    number: int
    content: bytes | None


def require_file(path: Path) -> None:
    """Refuse a path at which there is no file."""
    if not path.is_file():
        raise UsageError(f"no file {path}", cure="check the path")


def read_lines(path: Path, limits: ReadLimits) -> Iterator[Line]:
    """Every line with its number, from 1; a byte order mark is left out. Memory stays below one line's limit."""
    require_file(path)
    total = 0
    with _opened(path) as file:
        for number in itertools.count(1):
            content = file.readline(limits.max_line_bytes + 1)
            if not content:
                return
            size = len(content)
            if size > limits.max_line_bytes:
                size += _skip_line(file, content, limits, total)
            total += size
            _check_total(path, total, limits)
            yield Line(number, None if size > limits.max_line_bytes else _without_mark(path, number, content))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        try:
            # GzipFile reads like any binary file, but typeshed does not call it BinaryIO.
            yield cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if zipped else raw
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ImportRefused(f"{path} is a damaged gzip file: {error}", cure="fetch it again") from error


def _skip_line(file: BinaryIO, content: bytes, limits: ReadLimits, before: int) -> int:
    """Read on to the end of an overlong line and drop it; bytes read."""
    skipped = 0
    while content and not content.endswith(b"\n") and before + skipped <= limits.max_bytes:
        content = file.readline(limits.max_line_bytes)
        skipped += len(content)
    return skipped


def _check_total(path: Path, total: int, limits: ReadLimits) -> None:
    if total > limits.max_bytes:
        raise ImportRefused(
            f"{path} holds more than {limits.max_bytes} bytes once decompressed",
            cure="split it, or raise max_bytes if you trust where it comes from",
        )


def _without_mark(path: Path, number: int, content: bytes) -> bytes:
    if number == 1 and content.startswith(_UTF16_MARKS):
        raise ImportRefused(f"{path} is UTF-16 text", cure="save it as UTF-8")
    return content.removeprefix(_UTF8_MARK) if number == 1 else content
