import hashlib
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from backstay.errors import UsageError
from backstay.records import Retraction, canonical_json
from backstay.storage import Store, VerifyReport
from backstay.storage.journal import read_entries

if TYPE_CHECKING:
    from tests.unit.storage.conftest import Rows


def retraction(number: int, rater: str = "ann", name: str = "") -> Retraction:
    return Retraction(
        id=name or f"retraction-{number}",
        judgment_id=f"judgment-{number}",
        rater_id=rater,
        reason="wrong key",
        created_at="2026-01-01T00:00:01+00:00",
    )


@pytest.fixture
def judged(store: Store, rows: "Rows") -> Store:
    """Four judgments of ann; the third was only asked to see whether she is consistent."""
    given = rows.judgments(4)
    given[2] = given[2].model_copy(update={"purpose": "consistency"})
    store.repository.append_judgments("demo", given)
    return store


def ids(store: Store) -> tuple[list[str], list[str]]:
    repository = store.repository
    return [row.id for row in repository.judgments("demo")], [row.id for row in repository.all_judgments("demo")]


def test_what_is_retracted_or_no_vote_does_not_stand(judged: Store) -> None:
    everything = [f"judgment-{number}" for number in range(4)]
    assert ids(judged) == (["judgment-0", "judgment-1", "judgment-3"], everything)
    assert judged.repository.append_retractions("demo", [retraction(1), retraction(2)]) == 2
    assert ids(judged) == (["judgment-0", "judgment-3"], everything)
    assert judged.repository.retractions("demo") == [retraction(1), retraction(2)]
    assert judged.repository.retractions("other") == []
    [counts] = judged.repository.datasets()
    assert (counts.judgments, counts.retractions) == (4, 2)
    assert judged.verify() == VerifyReport(entries=10, sealed_entries=10, broken=None)


def test_the_entry_is_the_record_and_its_hash_the_documented_one(judged: Store) -> None:
    judged.repository.append_retractions("demo", [retraction(0)])
    with judged.engine.connect() as connection:
        [entry] = read_entries(connection, "retraction")
    payload = {"dataset": "demo", "retraction": retraction(0).payload()}
    assert entry.payload == canonical_json(payload).decode()
    whole = {"seq": 9, "kind": "retraction", "payload": payload, "prev_hash": entry.prev_hash}
    assert entry.hash == hashlib.sha256(canonical_json(whole)).hexdigest()


def test_the_other_data_set_keeps_its_judgment_of_the_same_name(judged: Store, rows: "Rows") -> None:
    rows.add_to(judged, "other")
    judged.repository.append_judgments("other", [rows.judgment(0)])
    judged.repository.append_retractions("demo", [retraction(0)])
    assert [row.id for row in judged.repository.judgments("other")] == ["judgment-0"]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ([retraction(7)], "retraction of unknown judgment 'judgment-7' in data set 'demo'"),
        ([retraction(0, "bob")], "judgment 'judgment-0' was not given by rater 'bob'"),
        ([retraction(3)], "judgment 'judgment-3' is retracted already"),
        ([retraction(0), retraction(0, name="again")], "judgment 'judgment-0' is retracted already"),
        ([retraction(0, name="retraction-3")], "retraction 'retraction-3' is already in data set 'demo'"),
        ([retraction(0, name="x"), retraction(1, name="x")], "retraction 'x' is already in data set 'demo'"),
    ],
)
def test_what_does_not_fit_is_refused_whole(judged: Store, given: list[Retraction], complaint: str) -> None:
    judged.repository.append_retractions("demo", [retraction(3)])
    with pytest.raises(UsageError, match=complaint):
        judged.repository.append_retractions("demo", [retraction(2), *given])
    assert judged.repository.retractions("demo") == [retraction(3)]
    assert judged.verify().ok


def test_the_digest_tells_of_retractions_and_is_as_before_without(judged: Store) -> None:
    repository, before = judged.repository, judged.repository.dataset_digest("demo")
    expected = hashlib.sha256()
    with judged.engine.connect() as connection:
        for name in ("demonstrations", "prompts", "raters", "responses", "tasks", "judgments"):
            order = "seq" if name == "judgments" else "id"
            for record in connection.execute(text(f"SELECT record FROM {name} ORDER BY {order}")).scalars():
                expected.update(f"{name} {hashlib.sha256(record.encode()).hexdigest()}\n".encode())
    assert before == expected.hexdigest()
    repository.append_retractions("demo", [retraction(1)])
    expected.update(f"retractions {hashlib.sha256(canonical_json(retraction(1).payload())).hexdigest()}\n".encode())
    assert repository.dataset_digest("demo") == expected.hexdigest() != before


def test_the_table_is_append_only(judged: Store) -> None:
    judged.repository.append_retractions("demo", [retraction(1)])
    for statement in ("UPDATE retractions SET rater_id = 'bob'", "DELETE FROM retractions"):
        with (
            pytest.raises(DatabaseError, match="the table retractions is append-only"),
            judged.engine.begin() as connection,
        ):
            connection.execute(text(statement))
