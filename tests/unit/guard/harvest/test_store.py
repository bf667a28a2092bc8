import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kept_traffic import AT_MS, exchange_id, said
from sqlalchemy import insert, select, update

from backstay.errors import IntegrityError, UsageError
from backstay.guard.harvest import HarvestStore
from backstay.guard.harvest.store import DAY_MS, HOUR_MS
from backstay.guard.ledger import Ledger
from backstay.storage.journal import read_entries
from backstay.storage.tables import approvals, harvested, harvested_feedback, kept_answers, kept_approvals

DENIED = said(1, "how?", "like this", effect="deny")
PLAIN = said(2, "why?", "because")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys") as opened:
        yield opened


@pytest.fixture
def store(ledger: Ledger) -> HarvestStore:
    return HarvestStore(ledger, keep_days=30, thumb_hours=24)


def events(ledger: Ledger) -> list[dict[str, Any]]:
    with ledger.read() as connection:
        return [json.loads(entry.payload) for entry in read_entries(connection, "guard.harvest")]


def test_what_is_kept_comes_back_and_the_journal_holds_a_digest(ledger: Ledger, store: HarvestStore) -> None:
    store.keep(DENIED).result(5)
    (row,) = store.rows(AT_MS + 2)
    assert (row.kept, row.thumbs, row.verdict) == (DENIED, (), "")
    (event,) = events(ledger)
    assert event.keys() == {"id", "at", "event", "exchange", "why", "content_digest"}
    assert event["content_digest"] == ledger.digest(DENIED.to_json().encode())


def test_without_a_reason_it_waits_for_a_thumb(store: HarvestStore) -> None:
    store.keep(PLAIN).result(5)
    assert store.rows(AT_MS + 3) == []
    given = store.thumb(PLAIN.exchange, "alice", -1, "no", AT_MS + HOUR_MS).result(5)
    (row,) = store.rows(AT_MS + 29 * DAY_MS)
    assert row.thumbs == (given,) and given.comment == "no"
    assert store.expire(AT_MS + 30 * DAY_MS + HOUR_MS - 1) == 0
    assert store.expire(AT_MS + 30 * DAY_MS + HOUR_MS) == 1


def test_a_thumb_is_once_and_changing_it_is_a_new_record(ledger: Ledger, store: HarvestStore) -> None:
    store.keep(PLAIN).result(5)
    first = store.thumb(PLAIN.exchange, "alice", 1, "", AT_MS).result(5)
    assert store.thumb(PLAIN.exchange, "alice", 1, "", AT_MS + 1).result(5) == first
    second = store.thumb(PLAIN.exchange, "alice", -1, "", AT_MS + 2).result(5)
    (row,) = store.rows(AT_MS + 3)
    assert row.thumbs == (first, second) and row.latest == (second,)
    assert [event["event"] for event in events(ledger)] == ["kept", "thumb", "thumb"]


def test_a_thumb_by_another_or_on_nothing_is_refused_and_leaves_nothing(ledger: Ledger, store: HarvestStore) -> None:
    store.keep(PLAIN).result(5)
    for exchange, principal in ((PLAIN.exchange, "bob"), (exchange_id(9), "alice")):
        with pytest.raises(UsageError, match="is not kept any longer"):
            store.thumb(exchange, principal, 1, "", AT_MS).result(5)
    assert [event["event"] for event in events(ledger)] == ["kept"]
    assert store.rows(AT_MS + 3) == []


def test_owner_is_known_until_it_expires(store: HarvestStore) -> None:
    store.keep(PLAIN).result(5)
    store.keep(DENIED).result(5)
    end = PLAIN.at_ms + 24 * HOUR_MS
    owner = store.owner(PLAIN.exchange, end - 1)
    assert owner is not None and owner == ("alice", end)
    assert store.owner(PLAIN.exchange, end) is None
    assert store.owner(DENIED.exchange, end) == ("alice", DENIED.at_ms + 30 * DAY_MS)
    assert store.owner(exchange_id(9), AT_MS) is None


def test_expired_rows_are_not_read_even_before_they_are_deleted(store: HarvestStore) -> None:
    store.keep(DENIED).result(5)
    assert len(store.rows(DENIED.at_ms + 30 * DAY_MS - 1)) == 1
    assert store.rows(DENIED.at_ms + 30 * DAY_MS) == []
    assert store.rows(AT_MS + 2, since_ms=DENIED.at_ms + 1) == []


def test_forgetting_overwrites_what_was_stored(tmp_path: Path) -> None:
    def stored() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.glob("guard.db*"))

    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys") as ledger:
        store = HarvestStore(ledger)
        for number in range(1, 9):
            store.keep(said(number, "how? " * 200, "like this " * 200, effect="deny")).result(5)
        store.thumb(exchange_id(3), "alice", 1, "well " * 100, AT_MS).result(5)
        with ledger.read() as connection:
            sealed = bytes(
                connection.scalar(select(harvested.c.sealed).where(harvested.c.exchange == exchange_id(3))) or b""
            )
            comment = bytes(connection.scalar(select(harvested_feedback.c.sealed)) or b"")
    assert sealed[:64] in stored() and comment[:64] in stored()
    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys") as ledger:
        store = HarvestStore(ledger)
        assert store.forget(exchange=exchange_id(3)) == 1
        assert store.forget(exchange=exchange_id(3)) == 0
        assert len(store.rows(AT_MS + 9)) == 7
        assert [(one["event"], one.get("exchange")) for one in events(ledger)][-1] == ("forgotten", exchange_id(3))
    for piece in (sealed, comment):
        assert piece[:64] not in stored() and piece[-64:] not in stored()


def test_everything_of_a_principal_is_forgotten_in_units(store: HarvestStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstay.guard.harvest.store.MAX_A_UNIT", 1)
    for number in range(4):
        store.keep(said(number, "how?", effect="deny", principal="bob" if number % 2 else "alice")).result(5)
    assert store.forget(principal="bob") == 2
    assert {row.kept.principal for row in store.rows(AT_MS + 9)} == {"alice"}
    with pytest.raises(ValueError, match="an exchange or a principal"):
        store.forget()


def test_what_was_swapped_or_changed_is_found(ledger: Ledger, store: HarvestStore) -> None:
    store.keep(DENIED).result(5)
    store.keep(said(3, "what?", effect="deny")).result(5)
    with ledger.read() as connection:
        other = connection.scalar(select(harvested.c.sealed).where(harvested.c.exchange == exchange_id(3)))
    change = update(harvested).where(harvested.c.exchange == DENIED.exchange).values(sealed=other)
    ledger.submit(lambda writer: writer.connection.execute(change)).result(5)
    with pytest.raises(IntegrityError, match="was changed, or is of another key"):
        store.rows(AT_MS + 9)


@pytest.mark.parametrize(
    ("states", "verdict"),
    [(["pending"], ""), (["approved"], "approved"), (["executed", "denied"], "denied"), (["executed", "expired"], "")],
)
def test_what_people_said_to_what_was_held(
    ledger: Ledger, store: HarvestStore, states: list[str], verdict: str
) -> None:
    store.keep(said(1, "pay", effect="hold", why=("held",))).result(5)

    def approve(writer: Any) -> None:
        answer = {
            "exchange": exchange_id(1),
            "principal": "alice",
            "request_digest": "",
            "approvals": "",
            "sealed": b"",
        }
        writer.connection.execute(insert(kept_answers), [answer])
        for number, state in enumerate(states):
            row = {"id": f"a{number}", "state": state, "version": 1, "digest": "", "principal": "alice", "record": ""}
            writer.connection.execute(insert(approvals), [row | {"expires_at_ms": 0}])
            name = {"approval_id": f"a{number}", "exchange": exchange_id(1)}
            writer.connection.execute(insert(kept_approvals), [name])

    ledger.submit(approve).result(5)
    assert [row.verdict for row in store.rows(AT_MS + 9)] == [verdict]


def test_what_went_out_after_an_approval_was_approved(store: HarvestStore) -> None:
    store.keep(said(1, "pay", effect="hold", why=("approved",))).result(5)
    assert [row.verdict for row in store.rows(AT_MS + 9)] == ["approved"]


def test_pseudonyms_differ_by_principal_and_by_project(tmp_path: Path, store: HarvestStore) -> None:
    assert store.pseudonym("alice") == store.pseudonym("alice") != store.pseudonym("bob")
    assert "alice" not in store.pseudonym("alice")
    with Ledger.open(tmp_path / "other.db", keys_dir=tmp_path / "other") as other:
        assert HarvestStore(other).pseudonym("alice") != store.pseudonym("alice")
