"""Uploaded files: received into a private folder, checked there, stored, and removed.

Nobody waits while a file is received and checked. Checked records are copied in piece by piece, with raters' answers
between them; a server that is killed leaves the first pieces, and the same file sent again goes on where it ended. Who
wants all or nothing of it has it in one transaction, for which raters wait.
"""

import asyncio
import contextlib
import gzip
import secrets
import shutil
import tempfile
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starlette.requests import ClientDisconnect

from backstay.errors import ImportRefused
from backstay.feedback.collection import Project, project_of
from backstay.feedback.importing import ImportReport
from backstay.feedback.importing.streaming import ImportFormat, ImportSettings, StagedImport, stage_import
from backstay.records import Dimension
from backstay.storage.unit import Unit
from backstay.web.console import Console, Rejects
from backstay.web.faults import ApiFault
from backstay.web.shown import Json
from backstay.web.webhooks.events import announce

KEPT_MS = 3_600_000
"""How long refused rows can be fetched."""

_BLOCK = 2**20
_HEAD = 64


@dataclass(frozen=True, slots=True)
class Upload:
    """What to do with a file."""

    project: str
    form: ImportFormat
    by: str
    allow_partial: bool
    dimension: Dimension
    heldout_share: float
    prompt_kind: Literal["text", "messages"] = "text"
    in_pieces: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: counts, or the refusal; `rejects` is the id under which refused rows can be fetched."""

    project: Project
    counts: Json
    rejects: str | None = None
    refusal: ImportRefused | None = None


@contextlib.asynccontextmanager
async def received(console: Console, stream: AsyncIterator[bytes], length: str | None) -> AsyncIterator[Path]:
    """The body of a request in a file that is removed when the block ends; raises ApiFault 413 for too much.

    A sender who goes away before the end gets ApiFault 400, which nobody reads.
    """
    most = console.settings.max_upload_bytes
    if length is not None and length.isdigit() and int(length) > most:
        raise _too_large(most)
    with tempfile.TemporaryDirectory(dir=console.scratch) as folder:
        path = Path(folder) / "upload"
        path.touch(mode=0o600)
        try:
            await _written(path, stream, most)
        except ClientDisconnect as error:
            raise ApiFault(400, "cut_off", "the upload ended before the file did", "send the file again") from error
        yield path


async def stored(console: Console, upload: Upload, path: Path) -> Outcome:
    """Check a received file and store it whole, or say why not."""
    project = await console.read(lambda connection: project_of(connection, upload.project))
    return await asyncio.to_thread(_stored, console, upload, project, path)


def rejects_of(console: Console, project: str, name: str) -> Path | None:
    """The refused rows of an import into this project, for an hour."""
    found = console.rejects.get(name)
    if found is None or found.project != project or found.until_ms <= console.clock():
        return None
    return found.path


def counts_of(report: ImportReport) -> Json:
    """What was stored, as JSON data."""
    names = ("rows", "judgments", "prompts", "responses", "tasks", "raters", "known", "duplicates", "refused")
    problems = [problem_json(problem.payload()) for problem in report.problems]
    return {name: getattr(report, name) for name in names} | {"problems": problems}


def problem_json(row: Json) -> Json:
    """A refused row as JSON data, without its text, which is in the rejects."""
    return {"line": row["line"], "column": row["column"], "field": row["field"], "message": row["problem"]}


async def _written(path: Path, stream: AsyncIterator[bytes], most: int) -> None:
    size, block = 0, bytearray()
    with path.open("wb") as file:
        async for chunk in stream:
            size += len(chunk)
            if size > most:
                raise _too_large(most)
            block += chunk
            if len(block) >= _BLOCK:
                await asyncio.to_thread(file.write, bytes(block))
                block.clear()
        await asyncio.to_thread(file.write, bytes(block))


def _stored(console: Console, upload: Upload, project: Project, path: Path) -> Outcome:
    settings = ImportSettings(
        dataset=project.dataset,
        dimension=upload.dimension,
        heldout_share=upload.heldout_share,
        prompt_kind=upload.prompt_kind,
        allow_partial=upload.allow_partial,
    )
    named = path.with_name(path.name + _suffix(upload.form, path))
    path.rename(named)
    try:
        with stage_import(named, upload.form, settings) as staged:
            rejects = _keep(console, project.id, staged) if staged.refused else None
            try:
                store = _store_in_pieces if upload.in_pieces else _store_whole
                report = store(console, upload, staged)
            except ImportRefused as error:
                return Outcome(project, {"refused": staged.refused}, rejects, error)
            return Outcome(project, counts_of(report), rejects)
    except ImportRefused as error:  # The file as a whole cannot be read.
        message = error.message.replace(str(named), named.name)
        return Outcome(project, {"refused": 0}, None, ImportRefused(message, cure=error.cure))


def _store_whole(console: Console, upload: Upload, staged: StagedImport) -> ImportReport:
    return console.write_now(lambda unit: _told(unit, upload, staged, staged.store(unit.batch)))


def _store_in_pieces(console: Console, upload: Upload, staged: StagedImport) -> ImportReport:
    """Each piece in a transaction of its own, so that raters' answers go in between."""
    new = staged.store_pieces(console.engine, lambda work: console.write_now(lambda unit: work(unit.batch)))
    return console.write_now(lambda unit: _told(unit, upload, staged, staged.finish(unit.batch, new)))


def _told(unit: Unit, upload: Upload, staged: StagedImport, report: ImportReport) -> ImportReport:
    counts = {"rows": report.rows, "judgments": report.judgments, "refused": report.refused}
    about = {"project": upload.project, "format": upload.form} | counts
    unit.note("console.import", {"by": upload.by, "file_sha256": staged.file_sha256} | about)
    announce(unit, "import.done", about)
    return report


def _keep(console: Console, project: str, staged: StagedImport) -> str:
    now_ms, name = console.clock(), secrets.token_urlsafe(16)
    for old in [key for key, kept in console.rejects.items() if kept.until_ms <= now_ms]:
        console.rejects.pop(old).path.unlink(missing_ok=True)
    path = console.scratch / f"rejects-{name}.jsonl"
    shutil.copyfile(staged.rejects, path)
    path.chmod(0o600)
    console.rejects[name] = Rejects(project, path, now_ms + KEPT_MS)
    return name


def _suffix(form: ImportFormat, path: Path) -> str:
    """What a file of this content would be named, so that the reader takes it for what it is."""
    head = _head(path)
    if form in ("csv", "jsonl", "parquet"):
        plain = f".{form}"
    elif head[:4] == b"PAR1":
        plain = ".parquet"
    elif form == "unjudged" and _unpacked(path, head).lstrip()[:1] not in (b"[", b"{"):
        plain = ".csv"
    else:
        plain = ".json" if head.lstrip()[:1] == b"[" else ".jsonl"
    return plain + (".gz" if head[:2] == b"\x1f\x8b" else "")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _unpacked(path: Path, head: bytes) -> bytes:
    """The beginning of what is in the file; nothing where it cannot be unpacked, which reading it will tell."""
    if head[:2] != b"\x1f\x8b":
        return head
    with contextlib.suppress(OSError, EOFError, zlib.error), gzip.open(path) as file:
        return file.read(_HEAD)
    return b""


def _too_large(most: int) -> ApiFault:
    return ApiFault(413, "too_large", f"an upload has at most {most} bytes", "split the file")
