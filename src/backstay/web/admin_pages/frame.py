"""What the pages of admins share: the frame, what was done last, addresses of links, and the choice of projects."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Path, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from backstay.errors import BackstayError, UsageError
from backstay.feedback.collection import all_projects
from backstay.web.accounts.refusal import Refused
from backstay.web.gate import console_of
from backstay.web.governance_pages.frame import sentence
from backstay.web.visitors import page_visitor, pages_of

Id = Annotated[str, Path(pattern=r"^[0-9a-f-]{1,36}$")]
Did = Annotated[str, Query(max_length=20, pattern=r"^[a-z]*$")]
SAID: Mapping[str, str] = {
    "saved": "Saved.",
    "disabled": "Disabled: signed out everywhere, and every API token is revoked.",
    "enabled": "Enabled: this account can sign in again.",
    "unlocked": "Unlocked: this name can sign in again.",
    "revoked": "Revoked: it does not hold any more.",
    "tested": "A test event is on its way. Load the page again to see what became of it.",
    "again": "The event is sent once more, under the id it had.",
    "on": "Switched on.",
    "off": "Switched off: it is told nothing of what happens meanwhile.",
    "removed": "Removed, with what it was yet to be told.",
}
"""What a page says after an act, by the word in its address."""


async def page(
    request: Request, template: str, here: str, *, did: str = "", status: int = 200, **values: Any
) -> Response:
    """One of our pages; it says what was done last."""
    visitor = await page_visitor(request)
    return pages_of(request).page(
        f"admin_{template}", visitor, status=status, here=here, said=SAID.get(did, ""), **values
    )


def address_of(request: Request, path: str) -> str:
    """A path of ours as somebody else opens it."""
    origin = console_of(request).settings.origin or str(request.base_url)
    return origin.rstrip("/") + path


def refused(error: BackstayError) -> Refused:
    """An error as the page shows it above its form."""
    if isinstance(error, Refused):
        return error
    return Refused(400, "refused", error.message, cure=error.cure or "")


def projects_by_id(connection: Connection) -> dict[str, str]:
    """Names of projects."""
    return {found.id: found.name for found in all_projects(connection)}


def chosen_projects(fields: Mapping[str, str], known: Sequence[str]) -> tuple[str, ...] | None:
    """{reach: all | some, project.ID ...}: None for all projects; raises UsageError for some, and none of them."""
    if fields.get("reach", "all") == "all":
        return None
    found = tuple(project for project in known if f"project.{project}" in fields)
    if not found:
        raise UsageError("no project is chosen", cure="tick a project, or choose every project")
    return found


def one_line(fields: Mapping[str, str], name: str, most: int = 200) -> str:
    """A line of text from a form; raises UsageError."""
    text = fields.get(name, "").strip()
    if len(text) > most or not text.isprintable():
        raise UsageError(f"the {name} is one line of at most {most} characters", cure="shorten it")
    return text


__all__ = [
    "Did",
    "Id",
    "address_of",
    "chosen_projects",
    "one_line",
    "page",
    "projects_by_id",
    "refused",
    "sentence",
]
