"""An assignment as its rater sees it: the texts in the order shown, and nothing that tells why it was chosen."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, select

from backstay.feedback.collection import Assignment, Progress, Project, Rejected, find_item
from backstay.feedback.collection.submission import iso_time
from backstay.records import Prompt, Response
from backstay.storage.tables import prompts, responses
from backstay.web.rendering import render

Json = dict[str, Any]


def shown(connection: Connection, project: Project, assignment: Assignment, now_ms: int) -> Json:
    """The assignment as JSON data; see docs/web/api.md for what each key says."""
    item = find_item(connection, project.id, assignment.item_id)
    if item is None:
        raise Rejected("not_found", "the item of this assignment is gone", cure="ask for the next one")
    prompt = Prompt.from_json(_records(connection, prompts, project.dataset, [item.prompt_id])[item.prompt_id])
    texts = _records(connection, responses, project.dataset, item.response_ids)
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


def _records(connection: Connection, table: Table, dataset: str, ids: Sequence[str]) -> dict[str, str]:
    query = select(table.c.id, table.c.record).where(table.c.dataset == dataset, table.c.id.in_(ids))
    return {row.id: row.record for row in connection.execute(query)}
