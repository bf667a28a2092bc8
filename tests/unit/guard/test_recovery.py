"""Counters after a restart are those from before it, for as long as their windows reach."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.errors import IntegrityError, ResourceError
from backstay.guard.ledger import Ledger
from backstay.guard.recovery import Restored, restore_histories
from backstay.policy import Counter, Histories, counted_values

START = 1_800_000_000.0
COUNTERS = {
    "sent": Counter(count=True, tool=("send_*",), within_s=640.0),
    "paid": Counter(sum="args.amount", tool=("pay",), within_s=6400.0),
}


class Clocks:
    """Wall clock and the histories' own, which begins anew with each process."""

    def __init__(self, wall_s: float, own_s: float = 0.0) -> None:
        self.wall_s, self._offset_s = wall_s, own_s - wall_s

    def own(self) -> float:
        return self.wall_s + self._offset_s


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys") as opened:
        yield opened


def at(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write(ledger: Ledger, wall_s: float, session: str, counted: dict[str, Any], kind: str = "guard.decision") -> None:
    ledger.append(kind, {"at": at(wall_s), "session": session, "counted": counted}).result(5)


def restored(
    ledger: Ledger, clocks: Clocks, counters: dict[str, Counter] = COUNTERS, **options: Any
) -> tuple[Histories, Restored]:
    histories = Histories(counters, clocks.own)
    with ledger.read() as connection:
        found = restore_histories(
            histories, counters, connection, clock=clocks.own, now=lambda: clocks.wall_s, **options
        )
    return histories, found


def test_actions_are_counted_again_by_session_and_window(ledger: Ledger) -> None:
    write(ledger, START - 7000, "a", {"paid": 1000})
    write(ledger, START - 5000, "a", {"paid": 20.5})
    write(ledger, START - 700, "a", {"sent": 1})
    write(ledger, START - 600, "a", {"sent": 1})
    write(ledger, START - 10, "b", {"sent": 1, "paid": None}, "guard.outcome")
    ledger.append("guard.decision", {"at": at(START), "session": "a"}).result(5)
    ledger.append("guard.admin", {"session": "a", "counted": {"sent": 9}}).result(5)
    clocks = Clocks(START, own_s=50_000.0)
    histories, found = restored(ledger, clocks)
    assert histories.of("a").values() == {"sent": 1, "paid": 20.5}
    assert histories.of("b").values() == {"sent": 1, "paid": None}
    assert histories.of("c").values() == {"sent": 0, "paid": 0.0}
    assert found == Restored(rows=7, actions=4)
    clocks.wall_s += 60
    assert histories.of("a").values()["sent"] == 0


def test_a_clock_that_begins_at_zero_counts_longer_but_never_less(ledger: Ledger) -> None:
    write(ledger, START - 600, "a", {"sent": 1})
    assert restored(ledger, Clocks(START))[0].of("a").values()["sent"] == 1


ACTIONS = st.lists(
    st.tuples(
        st.floats(0, 4000),
        st.sampled_from("ab"),
        st.sampled_from(["send_mail", "pay", "read"]),
        st.integers(-2, 9) | st.none(),
    ),
    max_size=30,
)


@settings(max_examples=30, deadline=None)
@given(ACTIONS, st.floats(0, 2000))
def test_after_a_restart_nothing_counts_less_than_before_it(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[float, str, str, int | None]], later_s: float
) -> None:
    folder = tmp_path_factory.mktemp("restart")
    clocks = Clocks(START)
    before = Histories(COUNTERS, clocks.own)
    with Ledger.open(folder / "guard.db", keys_dir=folder / "keys") as ledger:
        for wait_s, session, tool, amount in actions:
            clocks.wall_s = round(clocks.wall_s + wait_s / 10, 3)
            before.of(session).record("model.tool_call", "", tool, {"amount": amount})
            write(
                ledger,
                clocks.wall_s,
                session,
                counted_values(COUNTERS, "model.tool_call", "", tool, {"amount": amount}),
            )
        clocks.wall_s += later_s
        after, _ = restored(ledger, Clocks(clocks.wall_s, own_s=9e6))
    exact = exact_values(actions, clocks.wall_s)
    for session in "ab":
        for name, value in after.of(session).values().items():
            least = exact[session, name]
            assert value is None or (least is not None and value >= least - 1e-9)
            assert least is not None or value is None
            live = before.of(session).values()[name]
            assert value is None or live is None or abs(value - live) <= slack(actions, session, name)


def exact_values(
    actions: list[tuple[float, str, str, int | None]], end_s: float
) -> dict[tuple[str, str], float | None]:
    """Sums over exactly the last `within_s`, worked out from the list."""
    found: dict[tuple[str, str], float | None] = {(s, name): 0 for s in "ab" for name in COUNTERS}
    wall_s = START
    for wait_s, session, tool, amount in actions:
        wall_s = round(wall_s + wait_s / 10, 3)
        name = {"send_mail": "sent", "pay": "paid"}.get(tool)
        if name and end_s - wall_s <= (COUNTERS[name].within_s or 0):
            sofar, value = found[session, name], 1 if name == "sent" else amount
            found[session, name] = None if sofar is None or value is None else sofar + max(0, value)
    return found


def slack(actions: list[tuple[float, str, str, int | None]], session: str, name: str) -> float:
    """All that may stand in the one bucket by which two alignments differ."""
    return float(sum(max(1, amount or 0) for _, who, _, amount in actions if who == session))


def test_a_clock_that_was_set_back_hides_no_row(ledger: Ledger) -> None:
    write(ledger, START - 100, "a", {"sent": 1})
    for _ in range(1500):
        write_quick(ledger, START - 6600, "b", {})
    write(ledger, START - 6600, "b", {})
    histories, found = restored(ledger, Clocks(START, own_s=1e6))
    assert histories.of("a").values()["sent"] == 1
    assert found.actions == 1


def write_quick(ledger: Ledger, wall_s: float, session: str, counted: dict[str, Any]) -> None:
    ledger.append("guard.decision", {"at": at(wall_s), "session": session, "counted": counted})


def test_old_rows_are_not_read(ledger: Ledger) -> None:
    for number in range(5000):
        write_quick(ledger, START - 100_000 + number, "old", {"sent": 1})
    write(ledger, START - 1, "a", {"sent": 1})
    histories, found = restored(ledger, Clocks(START, own_s=1e6), max_rows=3000)
    assert found.actions == 1
    assert found.rows <= 2001
    assert histories.of("a").values()["sent"] == 1


def test_more_rows_than_may_be_read_is_an_error_not_a_lower_count(ledger: Ledger) -> None:
    for _ in range(30):
        write_quick(ledger, START, "a", {"sent": 1})
    write(ledger, START, "a", {"sent": 1})
    with pytest.raises(ResourceError, match="more than 30 of the ledger's 31 rows"):
        restored(ledger, Clocks(START), {"ever": Counter(count=True)}, max_rows=30)
    assert restored(ledger, Clocks(START), {"sent": Counter(count=True)})[0].of("a").values() == {"sent": 31}
    assert restored(ledger, Clocks(START), {})[1] == Restored(0, 0)


def test_a_row_without_a_time_is_named(ledger: Ledger) -> None:
    ledger.append("guard.decision", {"session": "a", "counted": {}}).result(5)
    with pytest.raises(IntegrityError, match=r"entry 1 \(guard.decision\) has no time"):
        restored(ledger, Clocks(START))
