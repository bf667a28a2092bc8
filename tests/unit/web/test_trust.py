"""The refresh of trust: when it is due, that one runs at a time, what it writes, and that a failure is told."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from bulk_console import PROJECT
from console_site import ConsoleSite
from insight_site import insight_site, told_findings
from sqlalchemy import select

from backstay.feedback.collection import Rejected, all_stats
from backstay.storage.console_tables import trust_history
from backstay.storage.journal import read_entries
from backstay.web import trust
from backstay.web.trust import TrustRefresh, TrustRun, WorkerFailed, due_project, is_due, last_done, last_runs


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with insight_site(tmp_path, judgments=200, raters=30) as made:
        yield made


def run_of(judged: int, state: str = "done", at_ms: int = 0) -> TrustRun:
    return TrustRun(at_ms, state, "console", "full", judged, 0, "", {})


@pytest.mark.parametrize(
    ("judged", "runs", "now_ms", "due"),
    [
        (49, [], 0, False),
        (50, [], 0, True),
        (1099, [run_of(1000)], 60_000, False),
        (1100, [run_of(1000)], 60_000, True),
        (1100, [run_of(1000)], 59_999, False),
        (149, [run_of(100)], 60_000, False),
        (150, [run_of(100)], 60_000, True),
        (900, [run_of(100, "failed")], 599_999, False),
        (900, [run_of(100, "failed")], 600_000, True),
        (900, [run_of(100, "running")], 3_599_999, False),
        (900, [run_of(100, "running")], 3_600_000, True),
    ],
)
def test_when_a_run_is_due(judged: int, runs: list[TrustRun], now_ms: int, due: bool) -> None:
    assert is_due(judged, runs, now_ms) is due


def test_what_is_found_is_written_in_parts(site: ConsoleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "A_WRITE", 7)

    async def run() -> None:
        refresh = TrustRefresh(site.console, told_findings)
        await refresh.tend()
        assert refresh.running == PROJECT
        await refresh.wait()
        assert refresh.running == ""

    asyncio.run(run())
    with site.console.engine.connect() as connection:
        stats = {row.rater_id: row for row in all_stats(connection, PROJECT)}
        history = connection.execute(select(trust_history)).all()
        done = last_done(connection, PROJECT)
        assert due_project(connection, site.clock.now_ms + 10**9) == ""
        kinds = [entry.payload for entry in read_entries(connection, "console.trust")]
    assert stats["r-00007"].trust == 0.2
    assert stats["r-00012"].trust == pytest.approx(0.72)
    assert stats["r-00012"].trust_low == pytest.approx(0.62)
    assert len(history) == len(stats)
    assert done is not None
    assert done.judged == sum(row.judged for row in stats.values())
    assert done.findings["notes"] == {"r-00007": ["more often wrong than right: read backwards"]}
    assert "raters" not in done.findings
    assert ['"did":"start"' in kinds[0], '"did":"done"' in kinds[1], len(kinds)] == [True, True, 2]


def test_never_two_at_once(site: ConsoleSite) -> None:
    async def run() -> None:
        go_on = asyncio.Event()

        async def slow(asked: Mapping[str, Any]) -> dict[str, Any]:
            await go_on.wait()
            return await told_findings(asked)

        refresh = TrustRefresh(site.console, slow)
        await refresh.start(PROJECT, "maria")
        with pytest.raises(Rejected, match="being computed already"):
            await refresh.start(PROJECT, "maria")
        await refresh.tend()
        with pytest.raises(Rejected, match="another server computes"):
            await TrustRefresh(site.console, slow).start(PROJECT, "maria")
        go_on.set()
        await refresh.wait()

    asyncio.run(run())
    with site.console.engine.connect() as connection:
        assert [row.state for row in last_runs(connection, PROJECT)] == ["done"]


def test_a_failure_is_kept_and_journalled(site: ConsoleSite) -> None:
    async def fails(_: Mapping[str, Any]) -> dict[str, Any]:
        raise WorkerFailed("aggregation ended with code -9")

    async def run() -> None:
        refresh = TrustRefresh(site.console, fails)
        await refresh.start(PROJECT, "maria")
        await refresh.wait()

    asyncio.run(run())
    with site.console.engine.connect() as connection:
        (last,) = last_runs(connection, PROJECT)
        assert (last.state, last.problem, last.started_by) == ("failed", "aggregation ended with code -9", "maria")
        assert last_done(connection, PROJECT) is None
        assert (
            '"problem":"aggregation ended with code -9"' in list(read_entries(connection, "console.trust"))[-1].payload
        )


def test_a_run_that_the_server_was_stopped_in_is_no_longer_running(site: ConsoleSite) -> None:
    async def never(_: Mapping[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def stopped() -> None:
        refresh = TrustRefresh(site.console, never)
        await refresh.start(PROJECT, "maria")
        await asyncio.sleep(0)
        await refresh.close()

    asyncio.run(stopped())
    asyncio.run(TrustRefresh(site.console, told_findings).tend())
    with site.console.engine.connect() as connection:
        assert last_runs(connection, PROJECT)[-1].problem == "the server was stopped before it was done"


def test_a_process_that_cannot_aggregate_says_why(tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match="no database"):
        asyncio.run(trust.run_worker({"database": str(tmp_path / "none.db"), "project": "p"}))


def test_a_process_of_its_own_aggregates(site: ConsoleSite) -> None:
    async def run() -> None:
        refresh = TrustRefresh(site.console)
        await refresh.start(PROJECT, "maria")
        await refresh.wait()

    asyncio.run(run())
    with site.console.engine.connect() as connection:
        done, stats = last_done(connection, PROJECT), all_stats(connection, PROJECT)
    assert done is not None
    assert done.method == "full"
    assert all(row.trust_at_ms == done.at_ms and row.trust_low < row.trust < row.trust_high for row in stats)
    assert len({row.trust for row in stats}) > 20
