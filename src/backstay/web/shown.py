"""An assignment as its rater sees it: the texts in the order shown, and nothing that tells why it was chosen."""

from typing import Any

from sqlalchemy import Connection, bindparam, select, union_all

from backstay.feedback.collection import Assignment, Item, Progress, Project, Rejected
from backstay.feedback.collection.submission import iso_time
from backstay.records import Prompt, Response
from backstay.storage.tables import prompts, responses
from backstay.web.rendering import render

Json = dict[str, Any]

_TEXTS = union_all(
    select(prompts.c.id, prompts.c.record).where(prompts.c.dataset == bindparam("in"), prompts.c.id == bindparam("of")),
    select(responses.c.id, responses.c.record).where(
        responses.c.dataset == bindparam("in"), responses.c.id.in_(bindparam("named", expanding=True))
    ),
)
"""The texts of an item: ids are hashes of what they name, so that a prompt and a response have never the same."""


def shown(connection: Connection, project: Project, item: Item | None, assignment: Assignment, now_ms: int) -> Json:
    """The assignment of an item as JSON data; see docs/web/api.md for what each key says."""
    if item is None:
        raise Rejected("not_found", "the item of this assignment is gone", cure="ask for the next one")
    rows = connection.execute(_TEXTS, {"in": project.dataset, "of": item.prompt_id, "named": item.response_ids})
    texts = {row.id: row.record for row in rows}
    prompt = Prompt.from_json(texts[item.prompt_id])
    settings = project.settings
    return {
        "id": assignment.id,
        "project": project.id,
        "kind": "pair" if len(item.response_ids) == 2 else "ranking",
        "prompt": [{"role": m.role, "text": m.content, "html": render(m.content)} for m in prompt.messages],
        "responses": [
            _response(slot, Response.from_json(texts[item.response_ids[index]]).text)
            for slot, index in enumerate(assignment.order_shown)
        ],
        "dimensions": [name for name in settings.dimensions if name in item.task_ids],
        "allow": {
            "ties": settings.ties,
            "both_bad": settings.both_bad,
            "strength": settings.strength,
            "rationale": settings.rationale,
            "spans": settings.spans,
            "edit": settings.edits,
        },
        "guidelines_version": assignment.guidelines_version,
        "issued_at": iso_time(assignment.issued_at_ms),
        "lease_expires_at": iso_time(assignment.expires_at_ms),
        "server_time": iso_time(now_ms),
    }


def progress_json(progress: Progress) -> Json:
    """A rater's progress as JSON data."""
    return progress._asdict()


def _response(slot: int, text: str) -> Json:
    return {"slot": slot, "text": text, "html": render(text)}
