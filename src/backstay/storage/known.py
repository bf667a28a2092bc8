"""What a data set holds already of records that are about to be stored: equal ids must have equal contents."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Connection, Table, select

from backstay.errors import IntegrityError
from backstay.storage.tables import metadata

_IDS_A_QUERY = 500
KEPT_BY_ID = ("prompts", "responses")
"""Their ids are hashes of what counts, so that one which is known is left alone whatever else it says."""


def stored_records(connection: Connection, table: Table, dataset: str, ids: Iterable[str]) -> dict[str, str]:
    """Canonical JSON by id of those among `ids` that the table holds."""
    found: dict[str, str] = {}
    for chunk in chunks(ids):
        query = select(table.c.id, table.c.record).where(table.c.dataset == dataset, table.c.id.in_(chunk))
        found.update((row.id, row.record) for row in connection.execute(query))
    return found


def refuse_changed(name: str, stored: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Raise IntegrityError for a record that stands already with other content; both are canonical JSON by id."""
    for row_id, record in stored.items():
        if record != given[row_id]:
            old, new = json.loads(record), json.loads(given[row_id])
            fields = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
            raise IntegrityError(f"{name}: {row_id!r} is already stored with other content in {', '.join(fields)}")


def refuse_changed_texts(connection: Connection, name: str, dataset: str, texts: Sequence[str]) -> None:
    """The same for records of the named table given as canonical JSON, against what the database holds."""
    if name not in KEPT_BY_ID:
        given: dict[str, str] = {json.loads(text)["id"]: text for text in texts}
        refuse_changed(name, stored_records(connection, metadata.tables[name], dataset, given), given)


def chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    """Each id once, as many at a time as a query takes."""
    unique = list(dict.fromkeys(ids))
    for start in range(0, len(unique), _IDS_A_QUERY):
        yield unique[start : start + _IDS_A_QUERY]
