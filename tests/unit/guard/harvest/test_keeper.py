import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kept_traffic import AT_MS, exchange_id, said

from backstay.errors import ResourceError
from backstay.guard.harvest import HarvestStore, Keeper, KeptExchange, Redactor, Unredactable
from backstay.guard.harvest.keeper import MAX_WAITING
from backstay.guard.ledger import Ledger


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HarvestStore]:
    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys") as opened:
        yield HarvestStore(opened)


class Failing(Redactor):
    """Raises what it is given."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def exchange(self, kept: KeptExchange) -> KeptExchange:
        raise self._error


class Waiting(Redactor):
    """Waits until it is told to go on."""

    def __init__(self) -> None:
        self.began, self.go = threading.Event(), threading.Event()

    def exchange(self, kept: KeptExchange) -> KeptExchange:
        self.began.set()
        self.go.wait(10)
        return kept


def keeper_of(store: HarvestStore, redactor: Redactor, **more: Any) -> Keeper:
    return Keeper(store, redactor, now_ms=lambda: AT_MS, **more)


def test_what_is_offered_is_stored_redacted_before_it_closes(store: HarvestStore) -> None:
    keeper = keeper_of(store, Redactor())
    keeper.offer(said(1, "mail maria.keller@firma-nord.de", effect="deny"))
    keeper.close()
    (row,) = store.rows(AT_MS + 2)
    assert row.kept.turns[0].text == "mail [REDACTED:email]"
    assert keeper.results == {"kept": 1}


@pytest.mark.parametrize(
    ("error", "result"),
    [(Unredactable("x"), "unredactable"), (ResourceError("full"), "failed"), (ZeroDivisionError("y"), "failed")],
)
def test_a_failure_keeps_nothing_is_counted_and_stops_nothing(
    store: HarvestStore, error: Exception, result: str
) -> None:
    counted: list[str] = []
    keeper = keeper_of(store, Failing(error), count=counted.append)
    for number in (1, 2):
        keeper.offer(said(number, "hello", effect="deny"))
    keeper.close()
    assert store.rows(AT_MS + 9) == [] and counted == [result, result]


def test_too_many_and_too_long_are_dropped_at_once(store: HarvestStore) -> None:
    redactor = Waiting()
    keeper = keeper_of(store, redactor, max_characters=1000)
    keeper.offer(said(0, "x" * 1000, effect="deny"))
    keeper.offer(said(1, "hello", effect="deny"))
    assert redactor.began.wait(10)
    for number in range(2, MAX_WAITING + 4):
        keeper.offer(said(number, "hello", effect="deny"))
    assert keeper.results == {"too_long": 1, "full": 2}
    assert keeper.under_way(exchange_id(2)) is not None
    assert keeper.under_way(exchange_id(MAX_WAITING + 3)) is None
    redactor.go.set()
    keeper.close()
    assert keeper.results["kept"] == MAX_WAITING + 1


def test_whoever_waits_learns_when_it_is_stored_and_cannot_cancel_it(store: HarvestStore) -> None:
    redactor = Waiting()
    keeper = keeper_of(store, redactor)
    keeper.offer(said(1, "hello", effect="deny"))
    future = keeper.under_way(exchange_id(1))
    assert future is not None and not future.done() and not future.cancel()
    redactor.go.set()
    assert future.result(10) is None
    assert store.owner(exchange_id(1), AT_MS) is not None
    keeper.close()
    assert keeper.under_way(exchange_id(1)) is None


def test_what_is_too_old_is_deleted_at_the_start(store: HarvestStore) -> None:
    store.keep(said(1, "hello", effect="deny")).result(5)
    keeper = Keeper(store, Redactor(), now_ms=lambda: AT_MS + 10**11)
    keeper.close()
    assert keeper.results == {"expired": 1} and store.owner(exchange_id(1), 0) is None


def test_nothing_is_taken_after_the_end(store: HarvestStore) -> None:
    keeper = keeper_of(store, Redactor())
    keeper.close()
    keeper.offer(said(1, "hello", effect="deny"))
    assert keeper.under_way(exchange_id(1)) is None and not keeper.results
