"""Exports: a project's judgments in other tools' formats, whatever their number."""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response, StreamingResponse

from backstay.feedback.collection import Project, project_of
from backstay.feedback.exporting import ExportFormat, Tally, export_stream
from backstay.storage import Repository
from backstay.storage.unit import Unit
from backstay.web.api.rating import Here, ProjectId
from backstay.web.console import Console
from backstay.web.gate import Principal, allowed
from backstay.web.permissions import Permission

router = APIRouter(prefix="/api/v1", tags=["imports and exports"])
Exporter = Annotated[Principal, Depends(allowed(Permission.EXPORT))]
KINDS: dict[str, tuple[str, str]] = {
    "csv": ("text/csv; charset=utf-8", "csv"),
    "parquet": ("application/vnd.apache.parquet", "parquet"),
    "argilla": ("application/json", "json"),
    "label-studio": ("application/json", "json"),
    "ultrafeedback": ("application/jsonl", "jsonl"),
    "trl": ("application/jsonl", "jsonl"),
    "hh-rlhf": ("application/jsonl", "jsonl"),
    "jsonl": ("application/jsonl", "jsonl"),
}
"""Media type and suffix by format."""

_BLOCK = 2**18
_FILE = {"schema": {"type": "string", "format": "binary"}}
_CONTENT = {kind.partition(";")[0]: _FILE for kind, _ in KINDS.values()} | {
    "application/json": {"schema": {"type": "array", "items": {"type": "object"}}}
}


@router.get(
    "/projects/{project}/export",
    response_class=StreamingResponse,
    responses={200: {"content": _CONTENT, "description": "The file."}},
)
async def export_project(
    project: ProjectId, who: Exporter, console: Here, form: Annotated[ExportFormat, Query(alias="format")]
) -> Response:
    """The judgments of the project's data set that stand, in one of these formats.

    Header `x-backstay-rows` says how many rows there are, `x-backstay-left-out` how many the format cannot hold.
    """
    found = await console.read(lambda connection: project_of(connection, project))
    file, tally = await asyncio.to_thread(_written, console, found, form)
    await console.write(lambda unit: _note(unit, who, found, form, tally))
    kind, suffix = KINDS[form]
    headers = {
        "content-disposition": f'attachment; filename="{file_name(found.id, form, suffix)}"',
        "content-length": str(file.seek(0, os.SEEK_END)),
        "x-backstay-rows": str(tally.written),
        "x-backstay-left-out": str(sum(tally.left_out.values())),
    }
    return StreamingResponse(_blocks(file), media_type=kind, headers=headers)


def file_name(project: str, form: str, suffix: str) -> str:
    """A name that is plain in every header and on every disk."""
    return f"{re.sub('[^a-z0-9-]', '', project)}-{form}.{suffix}"


def _written(console: Console, project: Project, form: ExportFormat) -> tuple[BinaryIO, Tally]:
    """An open file without a name, which is gone once it is closed.

    A file first: so an error is told as one, and a slow reader keeps no snapshot of the database open.
    """
    tally = Tally()
    file = tempfile.TemporaryFile(dir=console.scratch)  # noqa: SIM115  closed by whoever sends it
    blocks = export_stream(Repository(console.engine), project.dataset, form, tally=tally)
    file.writelines(blocks)
    return file, tally


async def _blocks(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        file.seek(0)
        while block := await asyncio.to_thread(file.read, _BLOCK):
            yield block


def _note(unit: Unit, who: Principal, project: Project, form: str, tally: Tally) -> None:
    about = {"by": who.account_id, "project": project.id, "format": form, "rows": tally.written}
    unit.note("console.export", about)
