"""Raters at work on one server, which is killed in the middle: how long an answer takes, and whether any is lost.

`--raters` simulated raters rate for `--seconds` in sessions like those of browsers: each reads for a while (exponential
around `--think` seconds), then sends a judgment and gets the next task with its receipt. The server is a process of its
own; load and server share the machine. `--kills` times it is killed (SIGKILL) and started again; raters send what was
not acknowledged again under the same key. Afterwards the database is held against what the raters know. Prints one
JSON line. Raters and texts are simulated.

    python benchmarks/console/load.py [--seconds 300] [--kills 3] [--database postgresql://...]
"""

import argparse
import asyncio
import json
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from sqlalchemy import select

from backstay.feedback.collection import ProjectSettings, create_project, fill_page
from backstay.records import Message, Prompt, Response, Task
from backstay.storage import Repository, Sealer, open_database, verify_journal
from backstay.storage.console_tables import assignments
from backstay.storage.seal import seals_of
from backstay.web.accounts import directory, sessions
from backstay.web.accounts.accounts import Accounts
from backstay.web.console import Console, open_console
from backstay.web.permissions import Role
from backstay.web.server import serve
from backstay.web.settings import ConsoleSettings

PROJECT, DATASET = "load", "load (synthetic)"
WORDS = (
    "the answer says that a lamp on the table gives light where people read and water boils at the same time".split()
)


def texts(repository: Repository, prompts: int) -> None:
    """Prompts with two answers of 120 words each; synthetic."""
    rng = random.Random(1)  # noqa: S311  texts to measure with
    asked = [Prompt.make((Message(role="user", content=f"Question {n}?"),), source="synthetic") for n in range(prompts)]
    found, tasks = [], []
    for prompt in asked:
        pair = [Response.make(prompt.id, " ".join(rng.choices(WORDS, k=120)), policy="synthetic") for _ in range(2)]
        found += pair
        tasks.append(Task.make(prompt.id, (pair[0].id, pair[1].id), gold=0 if len(tasks) % 20 == 0 else None))
    with repository.batch() as batch:
        batch.add_prompts(DATASET, asked)
        batch.add_responses(DATASET, found)
        batch.add_tasks(DATASET, tasks)


def set_up(console: Console, raters: int) -> list[dict[str, str]]:
    """A project and signed-in raters: what their browsers would send with each request."""
    project = console.write_now(lambda unit: create_project(unit, PROJECT, "Load", DATASET, ProjectSettings(), "bench"))
    after: str | None = ""
    while after is not None:
        after = console.write_now(lambda unit, start=after: fill_page(unit, project, start)).after
    chosen = console.settings
    accounts = Accounts(console, chosen.accounts, console.ledger.digest, listens_on=chosen.host, origin=chosen.origin)
    headers = []
    for number in range(raters):
        name = f"rater-{number}"
        account = console.write_now(lambda unit, n=name: directory.add(unit, n, n, Role.RATER, None, None))
        session, cookie = console.write_now(
            lambda unit, who=account.id: sessions.begin(unit, accounts.settings.session, account_id=who)
        )
        csrf = accounts.csrf_of(session)
        headers.append(
            {"cookie": f"{accounts.cookie}={cookie}", "x-backstay-csrf": csrf, "sec-fetch-site": "same-origin"}
        )
    return headers


class Server:
    """The console as a process, which can be killed and started again on the same port."""

    def __init__(self, database: str, folder: Path) -> None:
        self._command = [sys.executable, __file__, "--serve", database, "--folder", str(folder)]
        self.url, self.kills, self.cpu_s, self.rss_mb = "", 0, 0.0, 0.0

    def start(self) -> None:
        """Start it and wait until it takes requests."""
        port = ["--port", self.url.rpartition(":")[2]] if self.url else []
        self._process = subprocess.Popen([*self._command, *port], stdout=subprocess.PIPE, text=True)
        self.url = (self._process.stdout.readline() if self._process.stdout else "").strip()
        if not self.url:
            raise SystemExit("the server did not start")

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._note()
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.kills += 1

    def stop(self) -> None:
        """End it in order."""
        self._note()
        self._process.terminate()
        self._process.wait()

    def _note(self) -> None:
        process = psutil.Process(self._process.pid)
        times = process.cpu_times()
        self.cpu_s += times.user + times.system
        self.rss_mb = max(self.rss_mb, process.memory_info().rss / 2**20)


class Load:
    """What the raters do and know."""

    def __init__(self, server: Server, think_s: float) -> None:
        self._server, self._think_s = server, think_s
        self.took_s: list[float] = []
        self.acknowledged: dict[str, str] = {}
        self.other: Counter[str] = Counter()
        self.calm_since_s = 0.0

    async def rater(self, number: int, headers: dict[str, str], until_s: float) -> None:
        """One rater until the time is over."""
        rng = random.Random(number)  # noqa: S311  raters to measure with
        await asyncio.sleep(rng.random() * self._think_s)
        async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=1)) as session:
            task = await self._first(session, until_s)
            while task is not None and time.monotonic() < until_s:
                await asyncio.sleep(rng.expovariate(1.0 / self._think_s))
                task = await self._judge(session, task, rng)

    async def _first(self, session: aiohttp.ClientSession, until_s: float) -> dict[str, Any] | None:
        while time.monotonic() < until_s:
            found = await self._post(session, f"/api/v1/projects/{PROJECT}/assignments", {}, {})
            if found is not None and found[0] == 200:
                return found[1]["assignment"]
            await asyncio.sleep(0.2)
        return None

    async def _judge(
        self, session: aiohttp.ClientSession, task: dict[str, Any], rng: random.Random
    ) -> dict[str, Any] | None:
        order = rng.choice(([[0], [1]], [[1], [0]], [[0, 1]]))
        body = {"answers": [{"dimension": "overall", "ranking": order}], "duration_ms": 3000}
        key = {"idempotency-key": f"load-{task['id']}"}
        while True:  # Until it is acknowledged, as the page does it.
            began_s = time.monotonic()
            found = await self._post(session, f"/api/v1/assignments/{task['id']}/judgment", body, key)
            if found is None:
                await asyncio.sleep(0.2 + 0.3 * rng.random())
                continue
            status, answer = found
            if status in (200, 201):
                self.acknowledged[task["id"]] = answer["receipt"]
                if began_s > self.calm_since_s:
                    self.took_s.append(time.monotonic() - began_s)
                return answer["next"]
            self.other[f"{status} {answer['error']['code']}"] += 1
            return await self._first(session, time.monotonic() + 5)

    async def _post(
        self, session: aiohttp.ClientSession, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]] | None:
        """Status and answer; None where the server is gone."""
        origin = {"origin": self._server.url}
        try:
            async with session.post(self._server.url + path, json=body, headers=headers | origin) as response:
                return response.status, await response.json()
        except (aiohttp.ClientError, OSError):
            self.other["no answer"] += 1
            return None


async def rate(load: Load, server: Server, headers: list[dict[str, str]], seconds: float, kills: int) -> None:
    """Let everybody rate; kill the server in between, at even distances."""
    until_s = time.monotonic() + seconds
    load.calm_since_s = time.monotonic() + 10.0  # The first seconds measure how raters come in.
    people = [asyncio.create_task(load.rater(n, own, until_s)) for n, own in enumerate(headers)]
    for _ in range(kills):
        await asyncio.sleep(seconds / (kills + 1))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        load.calm_since_s = time.monotonic() + 10.0
    await asyncio.gather(*people)


def held_against(database: str, folder: Path, load: Load) -> dict[str, Any]:
    """What the database says of what the raters were told."""
    engine = open_database(database)
    stored = Counter(judgment.id for judgment in Repository(engine).all_judgments(DATASET))
    with engine.connect() as connection:
        query = select(assignments.c.id, assignments.c.judgment_ids).where(assignments.c.state == "judged")
        by_assignment = {row.id: json.loads(row.judgment_ids) for row in connection.execute(query)}
    named = Counter(name for names in by_assignment.values() for name in names)
    report = verify_journal(engine, Sealer(folder / "keys", seals_of(database, folder)).read())
    engine.dispose()
    return {
        "acknowledged": len(load.acknowledged),
        "lost": sum(1 for name in load.acknowledged if not set(by_assignment.get(name, [""])) <= stored.keys()),
        "doubled": sum(n - 1 for n in named.values()) + len(stored) - len(named),
        "stored": len(stored),
        "chain": report.broken or "holds",
    }


def quantile_ms(values: list[float], share: float) -> float:
    """A quantile in ms."""
    return round(1000 * sorted(values)[min(len(values) - 1, int(share * len(values)))], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--raters", type=int, default=200)
    parser.add_argument("--think", type=float, default=4.0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--prompts", type=int, default=20_000)
    parser.add_argument("--database", default="")
    parser.add_argument("--serve", default="")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    if given.serve:
        console = open_console(given.serve, given.folder, ConsoleSettings(port=given.port))
        asyncio.run(serve(console, lambda url: print(url, flush=True)))
        console.close()
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / ".backstay"
        database = given.database or str(folder / "backstay.db")
        engine = open_database(database, create=True)
        texts(Repository(engine), given.prompts)
        engine.dispose()
        console = open_console(database, folder)
        headers = set_up(console, given.raters)
        console.close()
        server = Server(database, folder)
        server.start()
        load = Load(server, given.think)
        asyncio.run(rate(load, server, headers, given.seconds, given.kills))
        server.stop()
        found = held_against(database, folder, load)
    print(
        json.dumps(
            {
                "benchmark": "console load (simulated raters)",
                "database": "postgresql" if given.database else "sqlite",
                "raters": given.raters,
                "seconds": given.seconds,
                "kills": server.kills,
                "judgments_per_s": round(len(load.acknowledged) / given.seconds, 1),
                "p50_ms": round(1000 * statistics.median(load.took_s), 1),
                "p95_ms": quantile_ms(load.took_s, 0.95),
                "p99_ms": quantile_ms(load.took_s, 0.99),
                "server_cpu_ms_per_judgment": round(1000 * server.cpu_s / max(1, len(load.acknowledged)), 2),
                "server_rss_mb": round(server.rss_mb, 1),
                "other_answers": dict(load.other),
                **found,
            }
        )
    )


if __name__ == "__main__":
    main()
