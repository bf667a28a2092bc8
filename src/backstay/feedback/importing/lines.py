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
_ARCHIVES = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x28\xb5\x2f\xfd": "a zstd file",
}
_RATIO_FROM = 16 * 2**20


class ReadLimits(Settings):
    """How much of an imported file is read before it is refused."""

    max_bytes: Size = 4 * 2**30
    """Bytes after decompression, over the whole file."""
    max_line_bytes: Size = 8 * 2**20
    """Bytes a line, its end included; in Parquet, bytes a value; in a JSON document, bytes an element of its array."""
    max_ratio: Size = 200
    """Bytes that a byte of gzip may become, looked at from 16 MiB on."""


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
    with opened(path) as (file, raw):
        for number in itertools.count(1):
            content = file.readline(limits.max_line_bytes + 1)
            if not content:
                return
            size = len(content)
            if size > limits.max_line_bytes:
                size += _skip_line(file, content, limits, total)
            total += size
            check_total(path, total, limits, raw)
            yield Line(number, None if size > limits.max_line_bytes else _without_mark(path, number, content))


def read_blocks(path: Path, limits: ReadLimits, size: int = 2**18) -> Iterator[bytes]:
    """The content in blocks, a byte order mark left out."""
    require_file(path)
    total = 0
    with opened(path) as (file, raw):
        while block := file.read(size):
            first = total == 0
            total += len(block)
            check_total(path, total, limits, raw)
            yield _without_mark(path, 1, block) if first else block


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The content, unzipped where it is gzip, and the file as it lies on the disk; damage becomes ImportRefused."""
    with path.open("rb") as raw:
        start = raw.read(8)
        archive = next((said for magic, said in _ARCHIVES.items() if start.startswith(magic)), None)
        if archive is not None:
            raise ImportRefused(f"{path} is {archive}", cure="unpack it, then import the file inside, plain or as .gz")
        zipped = start.startswith(_GZIP_MAGIC)
        raw.seek(0)
        try:
            # GzipFile reads like any binary file, but typeshed does not call it BinaryIO.
            yield (cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if zipped else raw), raw
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ImportRefused(f"{path} is a damaged gzip file: {error}", cure="fetch it again") from error


def _skip_line(file: BinaryIO, content: bytes, limits: ReadLimits, before: int) -> int:
    """Read on to the end of an overlong line and drop it; bytes read."""
    skipped = 0
    while content and not content.endswith(b"\n") and before + skipped <= limits.max_bytes:
        content = file.readline(limits.max_line_bytes)
        skipped += len(content)
    return skipped


def check_total(path: Path, total: int, limits: ReadLimits, raw: BinaryIO) -> None:
    """Refuse a file that holds too much, or that grows too much when it is unzipped."""
    if total > _RATIO_FROM and total > limits.max_ratio * raw.tell():
        raise ImportRefused(
            f"{path} holds more than {limits.max_ratio} times its size once decompressed",
            cure="if you trust where it comes from, unpack it first",
        )
    if total > limits.max_bytes:
        raise ImportRefused(
            f"{path} holds more than {limits.max_bytes} bytes once decompressed",
            cure="split it, or raise max_bytes if you trust where it comes from",
        )


def _without_mark(path: Path, number: int, content: bytes) -> bytes:
    if number == 1 and content.startswith(_UTF16_MARKS):
        raise ImportRefused(f"{path} is UTF-16 text", cure="save it as UTF-8")
    if number == 1 and b"\x00" in content[:4]:
        raise ImportRefused(f"{path} begins with NUL bytes: UTF-16 or UTF-32 text, or no text", cure="save it as UTF-8")
    return content.removeprefix(_UTF8_MARK) if number == 1 else content
