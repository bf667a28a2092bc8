import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from backstay.records import canonical_json
from backstay.storage import Store
from backstay.storage.journal import PAGE, entry_hash, read_entries


@given(
    seq=st.integers(1, 2**53 - 1),
    kind=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20),
    payload=st.dictionaries(st.text("ab", max_size=3), st.integers(-9, 9) | st.text('é"\\{},:', max_size=9)),
    prev_hash=st.text("0123456789abcdef", min_size=64, max_size=64),
)
def test_entry_hash_is_sha256_of_the_canonical_entry(
    seq: int, kind: str, payload: dict[str, int | str], prev_hash: str
) -> None:
    entry = {"seq": seq, "kind": kind, "payload": payload, "prev_hash": prev_hash}
    expected = hashlib.sha256(canonical_json(entry)).hexdigest()
    assert entry_hash(seq, kind, canonical_json(payload).decode(), prev_hash) == expected


def test_entries_are_read_across_pages(store: Store) -> None:
    count = PAGE + 5
    with store.repository.batch() as batch:
        for number in range(count):
            batch.add_event("note", {"number": number})
    with store.engine.connect() as connection:
        assert [entry.seq for entry in read_entries(connection)] == list(range(1, count + 5))
        numbers = [entry.payload for entry in read_entries(connection, "note")]
    assert numbers == [f'{{"number":{number}}}' for number in range(count)]
    assert store.verify().ok


@pytest.mark.parametrize("statement", ["UPDATE {} SET hash = 'x'", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["journal", "judgments"])
def test_triggers_refuse_change(store: Store, table: str, statement: str) -> None:
    rows = store.repository.tasks("demo")
    assert rows
    with store.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO judgments SELECT dataset, 'j', seq, record, id, 'ann', 'x', 'x' FROM tasks LIMIT 1")
        )
    with pytest.raises(DatabaseError, match=f"the table {table} is append-only"), store.engine.begin() as connection:
        connection.execute(text(statement.format(table)))
