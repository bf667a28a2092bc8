"""The lead's page that sends a file of preferences. Its script sends it to the API; here is only the form."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import Response

from backstay.feedback.collection import project_of
from backstay.feedback.importing.judged import HELDOUT_SHARE
from backstay.feedback.importing.streaming import ImportFormat
from backstay.web.api.imports import Manager
from backstay.web.api.rating import Here, ProjectId
from backstay.web.governance_pages.frame import or_back, page
from backstay.web.governance_pages.projects import DIMENSIONS

router = APIRouter(prefix="/lead/{project}/import", include_in_schema=False)
FORMATS: Mapping[ImportFormat, tuple[str, str]] = {
    "unjudged": (
        "To be judged",
        "A prompt a row with response_a, response_b, ...: CSV, JSON or Parquet. Your raters judge them.",
    ),
    "csv": ("CSV table", "A judgment a row: prompt, response_a, response_b, choice, rater."),
    "jsonl": ("JSON lines", "The same names as keys, one JSON object a line."),
    "parquet": ("Parquet table", "The same columns in a Parquet file."),
    "argilla": ("Argilla", "The records that Argilla exports as JSON."),
    "label-studio": ("Label Studio", "Its export as JSON or JSON-MIN."),
    "trl": ("TRL preferences", "Columns chosen and rejected, mostly with prompt: JSON lines or Parquet."),
    "hh-rlhf": ("Anthropic HH-RLHF", "Whole dialogues, chosen and rejected, one JSON object a line."),
    "ultrafeedback": ("UltraFeedback", "Prompts with scored answers, or its binarized form."),
    "production": ("Harvested answers", "The tasks.jsonl of backstay guard harvest, judged by thumbs or not yet."),
}
"""What each format is called, and what it is, for somebody who has a file in hand."""


@router.get("")
async def import_page(request: Request, project: ProjectId, _: Manager, console: Here) -> Response:
    """The form of an import into the project's data set."""
    found = await or_back("/lead", console.read(lambda connection: project_of(connection, project)))
    return await page(
        request,
        "import",
        "lead",
        project=found,
        formats=FORMATS,
        dimensions=DIMENSIONS,
        chosen={"dimension": found.settings.dimensions[0], "heldout_share": HELDOUT_SHARE},
        most=console.settings.max_upload_bytes,
    )
