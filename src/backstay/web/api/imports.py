"""Imports: a file is read and checked beside the database, then stored in one transaction, or refused with its rows."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import FileResponse, JSONResponse, Response

from backstay.errors import ImportRefused
from backstay.feedback.importing.streaming import ImportFormat
from backstay.records import Dimension
from backstay.web.api import shapes
from backstay.web.api.projects import fill
from backstay.web.api.rating import Here, ProjectId
from backstay.web.faults import ApiFault, Fault
from backstay.web.gate import Principal, allowed
from backstay.web.permissions import Permission
from backstay.web.shown import Json
from backstay.web.uploads import Upload, problem_json, received, rejects_of, stored

router = APIRouter(prefix="/api/v1", tags=["imports and exports"])
Manager = Annotated[Principal, Depends(allowed(Permission.MANAGE_PROJECT))]
RejectsId = Annotated[str, Query(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
REFUSED: dict[int | str, dict[str, Any]] = {422: {"model": shapes.ImportFault | Fault}}


@router.post(
    "/projects/{project}/imports",
    status_code=201,
    response_model=shapes.ImportDone,
    responses=REFUSED,
    openapi_extra=BODY,
)
async def import_file(
    project: ProjectId,
    request: Request,
    who: Manager,
    console: Here,
    form: Annotated[ImportFormat, Query(alias="format")],
    allow_partial: bool = False,
    dimension: Dimension = "overall",
    heldout_share: Annotated[float, Query(ge=0.0, lt=1.0)] = 0.1,
    prompt_kind: Literal["text", "messages"] = "text",
    in_pieces: bool = True,
) -> Response:
    """Store the file that is the body in the project's data set, and make items of it.

    Where rows break the format nothing is stored, unless `allow_partial` is set; either way the answer names them.
    Raters' answers go in between the pieces; a server that is killed meanwhile leaves a part: send the file again then.
    Without `in_pieces` everything is stored in one transaction, for which raters wait.
    """
    upload = Upload(project, form, who.account_id, allow_partial, dimension, heldout_share, prompt_kind, in_pieces)
    async with received(console, request.stream(), request.headers.get("content-length")) as path:
        done = await stored(console, upload, path)
    if done.refusal is not None:
        told = refusal_json(done.refusal) | {"refused": done.counts["refused"], "rejects": _link(project, done.rejects)}
        return JSONResponse({"error": told}, 422)
    made = await fill(console, done.project)
    return JSONResponse(done.counts | {"items_made": made, "rejects": _link(project, done.rejects)}, 201)


@router.get(
    "/projects/{project}/rejects", response_class=FileResponse, responses={200: {"content": {"application/jsonl": {}}}}
)
async def get_rejects(project: ProjectId, _: Manager, console: Here, id: RejectsId) -> Response:  # noqa: A002  the name in the address
    """The rows that an import refused, one JSON object a line: line, column, field, problem, text."""
    path = rejects_of(console, project, id)
    if path is None:
        raise ApiFault(
            404, "not_found", "there are no such rejects", "import the file again: they are kept for an hour"
        )
    headers = {"content-disposition": 'attachment; filename="rejects.jsonl"'}
    return FileResponse(path, media_type="application/jsonl", headers=headers)


def refusal_json(error: ImportRefused) -> Json:
    """A refused file as JSON data."""
    return {
        "code": "import_refused",
        "message": error.message,
        "cure": (error.cure or "").replace("--allow-partial", "allow_partial=true"),
        "fields": [],
        "problems": [problem_json(row) for row in error.rows],
    }


def _link(project: str, rejects: str | None) -> str | None:
    return None if rejects is None else f"/api/v1/projects/{project}/rejects?id={rejects}"
