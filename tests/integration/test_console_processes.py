"""Two servers on one database, one of them killed: no acknowledged judgment is lost or doubled."""

import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from collection_world import fill_dataset
from console_process import ConsoleProcess, chosen
from databases import Database
from recount import check_counts, check_settled
from sqlalchemy import Engine, select

from backstay.feedback.collection import ProjectSettings, change_project, create_project, fill_page, project_of
from backstay.feedback.collection.resettling import changes_waiting
from backstay.storage import Repository, Sealer, open_database, verify_journal
from backstay.storage.console_tables import assignments
from backstay.storage.location import seals_of
from backstay.web.accounts import directory, sessions
from backstay.web.accounts.accounts import Accounts
from backstay.web.console import open_console
from backstay.web.permissions import Role

pytestmark = pytest.mark.integration
RATERS, LEAST, MOST_S = 6, 30, 40.0
PROJECT = ProjectSettings(votes=3, most_votes=5, gold_share=0.1, repeat_share=0.1, lease_s=30)


class Rater:
    """Rates at whichever server answers, now one and then the other, and sends again what was not acknowledged."""

    def __init__(self, number: int, headers: dict[str, str], servers: list[ConsoleProcess]) -> None:
        self._rng, self._headers, self._servers = random.Random(number), headers, servers
        self.receipts: dict[str, str] = {}
        self.odd: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        task: dict[str, Any] | None = None
        with httpx.Client(headers=self._headers, timeout=20) as client:
            while not stop.is_set():
                if task is None:
                    found = self._post(client, "/api/v1/projects/p/assignments")
                    task = found.get("assignment") if found else None
                    if task is None:
                        stop.wait(0.05)
                elif self.receipts and self._rng.random() < 0.1:
                    task = self._undo(client) or task
                else:
                    task = self._judge(client, task)

    def _judge(self, client: httpx.Client, task: dict[str, Any]) -> dict[str, Any] | None:
        ranking = self._rng.choice(([[0], [1]], [[1], [0]], [[0, 1]]))
        body = {"answers": [{"dimension": "overall", "ranking": ranking}], "duration_ms": 900}
        while True:
            found = self._post(client, f"/api/v1/assignments/{task['id']}/judgment", body, f"key-{task['id']}")
            if found is not None and "error" in found:
                return None
            if found is not None:
                self.receipts[found["receipt"]] = task["id"]
                return found["next"]  # type: ignore[no-any-return]  # JSON

    def _undo(self, client: httpx.Client) -> dict[str, Any] | None:
        """The last judgment taken back, asked for under one key until there is an answer."""
        key, found = str(uuid.uuid4()), None
        while found is None:
            found = self._post(client, "/api/v1/projects/p/undo", key=key)
        return found.get("assignment")

    def _post(
        self, client: httpx.Client, path: str, body: dict[str, Any] | None = None, key: str = ""
    ) -> dict[str, Any] | None:
        server = self._rng.choice(self._servers)
        headers = {"origin": server.url} | ({"idempotency-key": key} if key else {})
        try:
            answer = client.post(server.url + path, json=body, headers=headers)
        except httpx.TransportError:
            self.odd["no answer"] += 1
            return None
        said: dict[str, Any] = answer.json()
        if "error" in said:
            self.odd[f"{answer.status_code} {said['error']['code']}"] += 1
        return said


def prepare(database: str, folder: Path) -> list[dict[str, str]]:
    """A project and signed-in raters: what their browsers send with each request."""
    console = open_console(database, folder, chosen(), create=True)
    fill_dataset(Repository(console.engine), 200, gold=10)
    project = console.write_now(lambda unit: create_project(unit, "p", "P", "d", PROJECT, "lead"))
    console.write_now(lambda unit: fill_page(unit, project))
    settings = console.settings
    accounts = Accounts(console, settings.accounts, console.ledger.digest, listens_on=settings.host, origin="")

    def sign_in(unit: Any, name: str) -> dict[str, str]:
        account = directory.add(unit, name, name, Role.RATER, None, None)
        session, cookie = sessions.begin(unit, accounts.settings.session, account_id=account.id)
        sent = {"cookie": f"{accounts.cookie}={cookie}", "x-backstay-csrf": accounts.csrf_of(session)}
        return sent | {"sec-fetch-site": "same-origin"}

    headers = [console.write_now(lambda unit, n=n: sign_in(unit, f"rater-{n}")) for n in range(RATERS)]  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    accounts.close()
    console.close()
    return headers


def waiting(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(changes_waiting(connection))


def taken(raters: list[Rater]) -> int:
    return sum(len(rater.receipts) for rater in raters)


def wait_for(there: Callable[[], bool]) -> None:
    latest_s = time.monotonic() + MOST_S
    while not there():
        assert time.monotonic() < latest_s
        threading.Event().wait(0.02)


def test_one_of_two_servers_is_killed_and_nothing_is_lost_or_doubled(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / ".backstay"
    headers = prepare(database.url, folder)
    servers = [ConsoleProcess(database.url, folder) for _ in range(2)]
    for server in servers:
        server.start()
    for server in servers:
        server.ready()
    stop, raters = threading.Event(), [Rater(number, own, servers) for number, own in enumerate(headers)]
    threads = [threading.Thread(target=rater.run, args=(stop,)) for rater in raters]
    for thread in threads:
        thread.start()
    wait_for(lambda: taken(raters) >= LEAST)
    servers[1].kill()
    before = taken(raters)
    wait_for(lambda: taken(raters) >= before + RATERS)
    stop.set()
    for thread in threads:
        thread.join()
    assert servers[0].stop() == 0
    for rater in raters:
        assert rater.odd.keys() <= {"no answer", "409 lease_over", "409 nothing_to_undo"}, rater.odd
    check(database.url, folder, raters)


def check(database: str, folder: Path, raters: list[Rater]) -> None:
    """Hold the database against what the raters were told."""
    engine = open_database(database)
    try:
        with engine.connect() as connection:
            check_counts(connection)
            rows = connection.execute(select(assignments).where(assignments.c.judgment_ids.is_not(None))).all()
        assert verify_journal(engine, Sealer(folder / "keys", seals_of(database, folder)).read()).broken is None
        repository = Repository(engine)
        everything = [judgment.id for judgment in repository.all_judgments("d")]
        stands = set(everything) - {retraction.judgment_id for retraction in repository.retractions("d")}
    finally:
        engine.dispose()
    named = [name for row in rows for name in json.loads(row.judgment_ids)]
    assert len(everything) == len(set(everything)) and sorted(named) == sorted(everything)
    assert {row.state for row in rows} <= {"judged", "retracted"}
    assert {name for row in rows if row.state == "judged" for name in json.loads(row.judgment_ids)} == stands
    acknowledged = [receipt for rater in raters for receipt in rater.receipts]
    assert len(acknowledged) >= LEAST and set(acknowledged) <= {row.id for row in rows}
    assert len(acknowledged) == len(set(acknowledged))


def test_change_of_settings_left_by_a_killed_server_is_carried_through_by_the_next(
    database: Database, tmp_path: Path
) -> None:
    folder = tmp_path / ".backstay"
    prepare(database.url, folder)
    console = open_console(database.url, folder, chosen())
    settings = PROJECT.model_copy(update={"votes": 5, "dimensions": ("helpful",)})
    console.write_now(lambda unit: change_project(unit, project_of(unit.connection, "p"), "lead", settings=settings))
    console.close()  # Before its caller could settle the items.
    server = ConsoleProcess(database.url, folder)
    server.start()
    server.ready()
    engine = open_database(database.url)
    try:
        wait_for(lambda: not waiting(engine))
        assert server.stop() == 0
        with engine.connect() as connection:
            check_settled(connection)
    finally:
        engine.dispose()
