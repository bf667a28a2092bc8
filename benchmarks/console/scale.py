"""The console on a database of many judgments: server time of the next task and of the raters page. One JSON line.

The judgments are synthetic and their raters simulated; the journal's chain is sound. Times are of requests to the
application in this process, no network between: `task_ms` of POST .../assignments by different raters, each with the
group commit and the fsync that a served answer waits for; `issue_ms` of choosing and leasing alone; `raters_ms` of the
raters page as HTML, the first apart; `overview_cold_s` of the first overview. Peak memory is this process's.

With --database, which is an empty one of PostgreSQL or one of an earlier run, a backup of the filled database is
restored there: `backup_s` and `restore_s`, 0 where it was found.

    python benchmarks/console/scale.py --judgments 1000000 --raters 2000 [--database postgresql://...]
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

from bulk_console import DAY_MS, PROJECT, START_MS, fill_console
from console_site import ConsoleSite, console_site
from sqlalchemy import func, select, text, update

from backstay.feedback.collection import issue, project_of
from backstay.storage import Store
from backstay.storage.account_tables import accounts
from backstay.storage.backup import write_backup
from backstay.storage.console_tables import assignments
from backstay.storage.engine import look_at_tables
from backstay.storage.location import database_url
from backstay.storage.replaced import rows_there
from backstay.storage.restore import restore_backup
from backstay.storage.unit import Unit
from backstay.web.accounts import directory
from backstay.web.permissions import Role

DAYS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgments", type=int, default=100_000)
    parser.add_argument("--raters", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the database is kept, or found from an earlier run")
    parser.add_argument("--database", default="", help="a PostgreSQL database, instead of the folder's")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        if not (folder / "console.db").exists():
            fill_console(folder / "console.db", asked.judgments, asked.raters, days=DAYS)
        took = {"filled_s": round(time.perf_counter() - began, 1)}
        if asked.database:
            took |= moved(folder, asked.database)
        with console_site(folder, database=asked.database) as site:
            print(json.dumps(measured(site, asked) | took))


def moved(folder: Path, database: str) -> dict[str, float]:
    """Restore a backup of the folder's database in another one, unless that is filled; seconds of both."""
    if rows_there(database_url(database)):
        return {"backup_s": 0.0, "restore_s": 0.0}
    path = folder / "console.backup"
    path.unlink(missing_ok=True)
    began = time.perf_counter()
    with Store(folder, url=str(folder / "console.db")) as store:
        write_backup(store, path)
    written = time.perf_counter()
    restore_backup(path, folder / ".backstay", database)
    restored = time.perf_counter()
    return {"backup_s": round(written - began, 1), "restore_s": round(restored - written, 1)}


def measured(site: ConsoleSite, asked: argparse.Namespace) -> dict[str, object]:
    site.console.write_now(lambda unit: look_at_tables(unit.connection))  # As the console does when it starts.
    site.clock.now_ms = max(START_MS + DAYS * DAY_MS, _last_lease(site)) + 1000
    lead = site.as_role(Role.LEAD, name=f"lead-{time.time_ns()}")
    people = [browser_of(site, n * max(1, asked.raters // 40)) for n in range(min(40, asked.raters))]
    path = f"/api/v1/projects/{PROJECT}/assignments"

    def task(n: int) -> Callable[[], None]:
        def ask() -> None:
            if n % len(people) == 0:
                site.clock.move(1000)  # The leases of last time are over, so that each request chooses anew.
            answered(people[n % len(people)].post(path))

        return ask

    raters = timed([lambda: page(lead, f"/lead/{PROJECT}/raters")] * 40)
    began = time.perf_counter()
    page(lead, f"/lead/{PROJECT}")
    overview_s = time.perf_counter() - began
    tasks = timed([task(n) for n in range(asked.requests)])
    return {
        "benchmark": "console_scale",
        "data": "synthetic judgments by simulated raters",
        "judgments": asked.judgments,
        "raters": asked.raters,
        "database": site.console.engine.dialect.name,
        "database_mb": round(size_of(site) / 1e6),
        "requests": asked.requests,
        "task_ms": quantiles(tasks),
        "issue_ms": quantiles([issued(site, n * 7 % asked.raters) for n in range(asked.requests)]),
        "raters_ms": quantiles(raters[1:]),
        "raters_first_ms": round(raters[0], 1),
        "overview_cold_s": round(overview_s, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def size_of(site: ConsoleSite) -> int:
    """Bytes of the database on the disk."""
    if site.console.engine.dialect.name == "sqlite":
        return Path(str(site.console.engine.url.database)).stat().st_size
    with site.console.engine.connect() as connection:
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())


def _last_lease(site: ConsoleSite) -> int:
    """When the last lease of an earlier run on this database ends."""
    query = select(func.max(assignments.c.expires_at_ms)).where(assignments.c.state == "open")
    with site.console.engine.connect() as connection:
        return int(connection.execute(query).scalar() or 0)


def browser_of(site: ConsoleSite, number: int):  # type: ignore[no-untyped-def]  # a browser of the tests' own
    """An account that rates as a simulated rater of the crowd."""
    rater, name = f"r-{number:05d}", f"rater-{number}"
    with site.console.engine.connect() as connection:
        known = connection.execute(select(accounts.c.id).where(accounts.c.rater_id == rater)).scalar()
    if known is None:
        known = site.add(Role.RATER, name).id
        change = update(accounts).where(accounts.c.id == known).values(rater_id=rater)
        site.console.write_now(lambda unit: unit.connection.execute(change))
    with site.console.engine.connect() as connection:
        return site.signed_in(directory.get(connection, known))


def issued(site: ConsoleSite, number: int) -> float:
    """Milliseconds that choosing and leasing take within the transaction."""
    site.clock.move(20 * 60)

    def work(unit: Unit) -> float:
        project = project_of(unit.connection, PROJECT)
        began = time.perf_counter()
        issue(unit, project, f"r-{number:05d}", site.console.secret)
        return 1000 * (time.perf_counter() - began)

    return site.console.write_now(work)


def page(browser, path: str) -> None:  # type: ignore[no-untyped-def]  # a browser of the tests' own
    """Load a page."""
    answered(browser.get(path))


def answered(answer) -> None:  # type: ignore[no-untyped-def]  # a response of the tests' own client
    """Stop where something went wrong."""
    if answer.status_code != 200:
        raise SystemExit(f"{answer.status_code}: {answer.text[:500]}")


def timed(works: list[Callable[[], None]]) -> list[float]:
    """Milliseconds of each."""
    found = []
    for work in works:
        began = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - began))
    return found


def quantiles(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum."""
    ordered = sorted(values)
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 1),
        "max": round(ordered[-1], 1),
    }


if __name__ == "__main__":
    main()
