"""How long raters wait while a large file is imported: judgments of one rater after another, before and during it.

One process serves the console; this one rates without pause as `--raters` raters, first alone for `--seconds`, then
while `--rows` rows are uploaded through the API, or with --locally stored by another process beside the server, as
`backstay import` does. Server, raters and import share the machine. Prints one JSON line.
Raters, rows and texts are simulated.

    python benchmarks/console/import_wait.py [--rows 100000] [--raters 4]
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import resource
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from backstay.client import Client, Submission
from backstay.feedback.importing import ImportReport, ImportSettings, import_stream
from backstay.storage import Store
from backstay.web.accounts import api_tokens, directory
from backstay.web.accounts.principal import Principal
from backstay.web.accounts.settings import AccountSettings
from backstay.web.console import Console, open_console
from backstay.web.permissions import PERMISSIONS, Role
from backstay.web.server import serve
from backstay.web.settings import ConsoleSettings

WORDS = "the answer says that a lamp on the table gives light where people read at the same time".split()
SETTINGS = {"gold_share": 0.0, "repeat_share": 0.0, "votes": 1, "most_votes": 1, "active": False}


def serving(database: str, folder: str, settings: dict[str, Any], address: Any) -> None:
    """The console, in a process of its own; sends its address, and at the end the most memory that it had."""
    console = open_console(database, Path(folder), ConsoleSettings.model_validate(settings))

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, lambda: (address.recv(), loop.call_soon_threadsafe(stop.set)))
        await serve(console, address.send, stop)

    asyncio.run(main())
    console.close()
    address.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def token(console: Console, role: Role, name: str) -> str:
    """An API token of a new account."""
    account = console.write_now(lambda unit: directory.add(unit, name, name, role, None, None))
    by = Principal(account.id, name, role, PERMISSIONS[role], account.rater_id, "session")
    settings, scopes = console.settings.accounts, sorted(PERMISSIONS[role])
    return console.write_now(lambda unit: api_tokens.make(unit, settings, by, "benchmark", scopes, 36_000))[1]


def write_rows(path: Path, count: int, start: int) -> Path:
    """A jsonl file of judgments; synthetic."""
    rng = random.Random(start)  # noqa: S311  texts to measure with
    with path.open("w", encoding="utf-8") as file:
        for number in range(start, start + count):
            texts = [" ".join(rng.choices(WORDS, k=40)) for _ in range(2)]
            row = {"prompt": f"Question {number}?", "response_a": f"a {texts[0]}", "response_b": f"b {texts[1]}"}
            file.write(json.dumps(row | {"choice": rng.choice("ab"), "rater": f"r{number % 50}"}) + "\n")
    return path


def rate(address: str, secret: str, waits_s: list[tuple[float, float]], stop: threading.Event) -> None:
    """Judge without pause; when each judgment was sent and how long its answer took."""
    with Client(address, secret, timeout_s=300) as client:
        task = client.next("rated").assignment
        while task is not None and not stop.is_set():
            sent_s = time.perf_counter()
            task = client.judge(task, Submission.prefer(0, over=1)).next
            waits_s.append((sent_s, time.perf_counter() - sent_s))


def share(values: list[float], part: float) -> float:
    """A quantile, in milliseconds."""
    return round(1000 * sorted(values)[min(len(values) - 1, int(part * len(values)))], 1) if values else 0.0


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Rate alone, then during the import."""
    quick = AccountSettings(api_per_s=1e6, api_burst=10**6)
    settings = ConsoleSettings(port=0, accounts=quick)
    console = open_console(folder / "console.db", folder, settings, create=True)
    lead = token(console, Role.LEAD, "lead")
    raters = [token(console, Role.RATER, f"rater-{number}") for number in range(options.raters)]
    console.close()
    ours, theirs = multiprocessing.Pipe()
    given = (str(folder / "console.db"), str(folder), settings.model_dump(mode="json"), theirs)
    process = multiprocessing.get_context("spawn").Process(target=serving, args=given)
    process.start()
    address = ours.recv()
    with Client(address, lead, timeout_s=3600) as client:
        client.make_project("rated", "Rated", "rated (synthetic)", SETTINGS)
        client.import_file("rated", write_rows(folder / "rated.jsonl", options.tasks, 10**7), "jsonl")
        client.make_project("big", "Big", "big (synthetic)", SETTINGS)
        waits_s: list[tuple[float, float]] = []
        stop = threading.Event()
        threads = [threading.Thread(target=rate, args=(address, secret, waits_s, stop)) for secret in raters]
        path = write_rows(folder / "big.jsonl", options.rows, 0)
        for thread in threads:
            thread.start()
        time.sleep(options.seconds)
        began_s = time.perf_counter()
        if options.locally:
            stored = import_locally(folder, path, in_pieces=options.in_pieces)
            told = {"rows": stored.rows, "judgments_stored": stored.judgments}
        else:
            done = client.import_file("big", path, "jsonl", in_pieces=options.in_pieces)
            told = {"rows": done.rows, "judgments_stored": done.judgments, "items_made": done.items_made}
        ended_s = time.perf_counter()
        stop.set()
        for thread in threads:
            thread.join()
    ours.send("stop")
    peak_mib = ours.recv()
    process.join()
    alone = [took for sent, took in waits_s if sent + took < began_s]
    during = [took for sent, took in waits_s if began_s <= sent + took and sent < ended_s]
    return {
        **told,
        "locally": options.locally,
        "in_pieces": options.in_pieces,
        "import_s": round(ended_s - began_s, 1),
        "raters": options.raters,
        "alone": {"n": len(alone), "p50_ms": share(alone, 0.5), "p99_ms": share(alone, 0.99)},
        "during": {
            "n": len(during),
            "p50_ms": share(during, 0.5),
            "p99_ms": share(during, 0.99),
            "longest_ms": share(during, 1.0),
        },
        "server_peak_mib": round(peak_mib),
    }


def import_locally(folder: Path, path: Path, *, in_pieces: bool) -> ImportReport:
    """As the command does, past the server."""
    with Store(folder, url=str(folder / "console.db"), seal=False) as store:
        settings = ImportSettings(dataset="big (synthetic)")
        return import_stream(store.repository, path, "jsonl", settings, in_pieces=in_pieces)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--in-pieces", action="store_true")
    parser.add_argument("--locally", action="store_true")
    parser.add_argument("--raters", type=int, default=4)
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({"benchmark": "import_wait", "simulated": True} | measured(options, Path(folder))))


if __name__ == "__main__":
    main()
