"""What a change of a project's settings means for items that stand: they are settled anew, a page at a time.

The journal says which change is not carried through yet, so that another process goes on where one was ended.
"""

import json

from sqlalchemy import Connection, select

from backstay.feedback.collection.adjudicating import opened_by_people
from backstay.feedback.collection.item_tasks import with_tasks
from backstay.feedback.collection.items import Item, item_of
from backstay.feedback.collection.project import Project, project_of
from backstay.feedback.collection.tally import settled, write_item
from backstay.storage.console_tables import items
from backstay.storage.tables import journal
from backstay.storage.unit import Unit

PAGE = 200
"""Items that one unit of work looks at, so that raters never wait long for it."""

_KIND, _DONE = "console.project", "resettled"


def changes_waiting(connection: Connection) -> dict[str, int]:
    """By project, the journal's seq of the last change of settings that its items do not follow yet."""
    query = select(journal.c.seq, journal.c.payload).where(journal.c.kind == _KIND).order_by(journal.c.seq)
    waiting: dict[str, int] = {}
    for row in connection.execute(query):
        told = json.loads(row.payload)
        if told["did"] == "change" and "settings" in told["to"]:
            waiting[told["project"]] = row.seq
        elif told["did"] == _DONE and waiting.get(told["project"]) == told["change"]:
            del waiting[told["project"]]
    return waiting


def resettle_page(unit: Unit, project_id: str, change: int, after: str = "") -> str | None:
    """Settle the next items anew; the item after which the next page begins, None when the change is carried through.

    Begin at the first item for each change: what was looked at before the change has to be looked at again.
    """
    project = project_of(unit.connection, project_id)
    where = (items.c.project == project_id) & (items.c.id > after)
    rows = unit.connection.execute(select(items).where(where).order_by(items.c.id).limit(PAGE)).mappings().all()
    page = [item_of(row) for row in rows]
    disputed = any(item.state == "disputed" for item in page)
    kept = opened_by_people(unit.connection, project_id) if disputed else frozenset[str]()
    for item in page:
        _resettle(unit, project, item, kept)
    if len(page) == PAGE:
        return page[-1].id
    if changes_waiting(unit.connection).get(project_id) == change:
        unit.note(_KIND, {"by": "console", "did": _DONE, "project": project_id, "change": change})
    return None


def _resettle(unit: Unit, project: Project, item: Item, kept: frozenset[str]) -> None:
    asked = with_tasks(unit, project, item)
    if item.id in kept and item.state == "disputed":
        return
    changed = settled(asked, project.settings)
    if changed != asked:
        write_item(unit.connection, changed)
