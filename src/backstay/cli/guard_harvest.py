"""`backstay guard harvest` and `backstay guard forget`: production traffic into the loop, and out of the database."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.guard_serve import CONFIG
from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from backstay.guard.harvest import HarvestStore

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@CONFIG
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="A new or empty folder."
)
@click.option("--since", type=click.DateTime(), help="Only exchanges kept since this time (UTC).")
@click.option(
    "--kind", type=click.Choice(["tasks", "redteam", "both"]), default="both", show_default=True, help="What to make."
)
@click.option(
    "--cap", type=click.IntRange(1), default=50, show_default=True, help="Exchanges of one principal, at most."
)
@click.option(
    "--near",
    type=click.FloatRange(0.5, 1.0),
    default=0.8,
    show_default=True,
    help="Similarity from which an exchange repeats another.",
)
@click.option(
    "--burst",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Thumbs of one principal in an hour; with more, all of them are suspect.",
)
@click.option(
    "--min-principals",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Refuse when fewer principals stand behind it.",
)
@click.option(
    "--policy", "policies", multiple=True, type=FILE, help="Write only tests that this policy passes; may be repeated."
)
@shared_options
def harvest(
    session: Session, config: Path, output: Path, since: Any, kind: Any, policies: tuple[Path, ...], **bounds: Any
) -> None:
    """Make rating tasks, red-team cases and policy tests of the traffic that guard.yaml lets the guard keep.

    Everything is redacted, labelled as production traffic, and carries the exchange and the decisions it came from.
    Bring tasks into a project with: backstay import production FOLDER/tasks.jsonl
    """
    import time
    from datetime import UTC

    from backstay.guard.harvest.defences import Bounds
    from backstay.guard.harvest.folder import Harvest
    from backstay.policy import load_policies

    made = Harvest(
        kind,
        0 if since is None else int(since.replace(tzinfo=UTC).timestamp() * 1000),
        Bounds(bounds["cap"], bounds["near"], bounds["burst"], bounds["min_principals"]),
        load_policies(policies) if policies else None,
    )
    with _store(config) as store:
        now_ms = time.time_ns() // 1_000_000
        store.expire(now_ms)
        report = made.write(store, output, now_ms)
    if session.as_json:
        session.emit({"output": str(output), **report.payload()})
        return
    session.say(str(output))
    session.say(f"{report.exchanges} exchanges of {report.principals} principals")
    for name, count in report.counts.items():
        session.say(f"  {name:18} {count}")
    for name, count in report.left_out.items():
        if count:
            session.say(f"  left out: {name.replace('_', ' ')} {count}")


@click.command()
@CONFIG
@click.argument("exchange", required=False)
@click.option("--principal", default="", help="Delete everything of this principal instead.")
@shared_options
def forget(session: Session, config: Path, exchange: str | None, principal: str) -> None:
    """Delete what is kept of EXCHANGE, or of a principal, with the thumbs on it; exit 1 where nothing is.

    The journal keeps ids and digests. Folders that were harvested before are files of yours: delete them too.
    """
    if bool(exchange) == bool(principal):
        raise click.UsageError("name an exchange, or --principal")
    with _store(config) as store:
        count = store.forget(exchange=exchange or "", principal=principal)
    if session.as_json:
        session.emit({"forgotten": count})
    else:
        session.say(f"{count} exchanges were forgotten")
    raise click.exceptions.Exit(0 if count else 1)


@contextlib.contextmanager
def _store(config: Path) -> "Iterator[HarvestStore]":
    """What the guard of a guard.yaml keeps; the guard may be running."""
    from backstay.guard.gateway.assembly import place_of
    from backstay.guard.gateway.settings import read_guard_settings
    from backstay.guard.harvest import HarvestStore
    from backstay.guard.ledger import Ledger

    settings, home = read_guard_settings(config), config.parent
    database = place_of(settings.audit.database, home)
    harvested = settings.harvest
    with Ledger.open(database, keys_dir=home / settings.audit.keys, create=False) as ledger:
        yield HarvestStore(ledger, keep_days=harvested.keep_days, thumb_hours=harvested.thumb_hours)
