"""The console's disk is full, its database locked or replaced: 503 with a cure, nothing lost, and it recovers."""

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from collection_world import fill_dataset
from console_site import Browser, ConsoleSite, console_site
from recount import check_counts
from sqlalchemy import text

from backstay.feedback.collection import ProjectSettings, create_project, fill_page
from backstay.storage import Repository, SealLog, verify_journal
from backstay.storage.engine import open_database
from backstay.web.permissions import Role

pytestmark = pytest.mark.hostile
PLAIN = ProjectSettings(gold_share=0.0, repeat_share=0.0)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with console_site(tmp_path) as found:
        fill_dataset(Repository(found.console.engine), 8)
        project = found.console.write_now(lambda unit: create_project(unit, "p", "P", "d", PLAIN, "lead"))
        found.console.write_now(lambda unit: fill_page(unit, project))
        yield found


class Rater:
    """A browser that rates, and keeps what it was acknowledged."""

    def __init__(self, browser: Browser) -> None:
        self.browser, self.receipts = browser, list[str]()
        self.task = browser.post("/api/v1/projects/p/assignments").json()["assignment"]

    def judge(self, rationale: str = "") -> Any:
        """Send the answer to the task; the next one where it was taken."""
        body = {"answers": [{"dimension": "overall", "ranking": [[0], [1]]}], "rationale": rationale}
        key = {"idempotency-key": f"key-{self.task['id']}"}
        answer = self.browser.post(f"/api/v1/assignments/{self.task['id']}/judgment", body, headers=key)
        if answer.status_code in (200, 201):
            self.receipts.append(answer.json()["receipt"])
            self.task = answer.json()["next"]
        return answer


def check_unavailable(answer: Any, said: str) -> None:
    assert answer.status_code == 503, answer.text
    error = answer.json()["error"]
    assert error["code"] == "unavailable" and said in error["message"] and error["cure"]


def check_kept(database: Path, receipts: list[str]) -> None:
    """What was acknowledged stands, nothing else does, and every count is right."""
    engine = open_database(database)
    try:
        with engine.connect() as connection:
            check_counts(connection)
            query = text("SELECT id FROM assignments WHERE state = 'judged'")
            assert sorted(connection.execute(query).scalars()) == sorted(receipts)
        assert len(Repository(engine).judgments("d")) == len(receipts)
        assert verify_journal(engine, SealLog(())).broken is None
    finally:
        engine.dispose()


def pages(site: ConsoleSite, most: int) -> None:
    """Let the writer's connection use so many pages of the file, as a full disk would."""
    statement = text(f"PRAGMA max_page_count = {most}")
    site.console.ledger.submit(lambda writer: writer.connection.execute(statement).close()).result(5)


def test_full_disk(site: ConsoleSite, tmp_path: Path) -> None:
    rater = Rater(site.as_role(Role.RATER))
    assert rater.judge().status_code == 201
    with site.console.engine.connect() as connection:
        pages(site, connection.execute(text("PRAGMA page_count")).scalar_one())
    for _ in range(3):
        answer = rater.judge("x" * 4000)
        if answer.status_code != 201:
            break
    check_unavailable(answer, "no space left")
    check_unavailable(rater.judge("y" * 4000), "no space left")
    assert rater.browser.get("/api/v1/projects/p/progress").json()["done_total"] == len(rater.receipts)
    pages(site, 1_000_000)
    assert rater.judge("x" * 4000).status_code == 201
    check_kept(tmp_path / "console.db", rater.receipts)


def test_locked_database(site: ConsoleSite, tmp_path: Path) -> None:
    rater = Rater(site.as_role(Role.RATER))
    statement = text("PRAGMA busy_timeout = 50")
    site.console.ledger.submit(lambda writer: writer.connection.execute(statement).close()).result(5)
    other = sqlite3.connect(tmp_path / "console.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    check_unavailable(rater.judge(), "locked by another process")
    check_unavailable(rater.judge(), "locked by another process")
    other.execute("ROLLBACK")
    other.close()
    assert rater.judge().status_code == 201
    check_kept(tmp_path / "console.db", rater.receipts)


@pytest.mark.parametrize("instead", ["nothing", "copy", "garbage"])
def test_replaced_database(site: ConsoleSite, tmp_path: Path, instead: str) -> None:
    rater = Rater(site.as_role(Role.RATER))
    assert rater.judge().status_code == 201
    place, aside = tmp_path / "console.db", tmp_path / "aside.db"
    content = place.read_bytes()
    place.rename(aside)
    if instead != "nothing":
        place.write_bytes(content if instead == "copy" else b"no database" * 1000)
    for _ in range(2):
        check_unavailable(rater.judge(), "removed or replaced")
        check_unavailable(rater.browser.get("/api/v1/projects/p/progress"), "removed or replaced")
        assert rater.browser.get("/rate/p").status_code == 503
    assert place.exists() == (instead != "nothing")  # Nobody has made an empty one in its place.
    aside.rename(place)
    assert rater.judge().status_code == 201
    check_kept(place, rater.receipts)


def test_statement_that_the_database_refuses_is_no_secret_of_the_server(
    site: ConsoleSite, caplog: pytest.LogCaptureFixture
) -> None:
    rater = Rater(site.as_role(Role.RATER))
    hide = "ALTER TABLE assignments RENAME TO hidden"
    site.console.write_now(lambda unit: unit.connection.execute(text(hide)).close())
    with caplog.at_level(logging.ERROR):
        check_unavailable(rater.judge("a private thought"), "refused a statement")
    assert "no such table" in caplog.text and "a private thought" not in caplog.text
    back = "ALTER TABLE hidden RENAME TO assignments"
    site.console.write_now(lambda unit: unit.connection.execute(text(back)).close())
    assert rater.judge().status_code == 201
