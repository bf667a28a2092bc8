"""`backstay raters`: whom can we believe, how much, and what should somebody look at?"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.quarantine import visible
from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from backstay.records import Rater, RaterTrust
    from backstay.report.alarms import Alarm

THIN_SPACE = "\u202f"
"""Stands between thousands in the report; terminals show a comma."""

NAMED = 6
"""Raters that an alarm names on the terminal; the report names more."""


@click.command()
@click.option("--run", "run_text", metavar="RUN", default="aggregate", show_default=True, help="A run of aggregate.")
@shared_options
def raters(session: Session, run_text: str) -> None:
    """Show how far each rater is trusted.

    Trust is the probability that a rater agrees with the truth on a clear pair, with its central 95 % interval.
    The least trusted come first.
    """
    from backstay.pipeline.runs import resolve_run
    from backstay.records import Rater, RaterTrust
    from backstay.storage import read_records

    run = resolve_run(session.project, run_text)
    trust = sorted(read_records(run.path / "trust.jsonl", RaterTrust), key=lambda row: (row.trust, row.rater_id))
    rate = _rate_folder(session, run.manifest.predicate if run.manifest else {})
    people = {rater.id: rater for rater in read_records(rate / "raters.jsonl", Rater)} if rate else {}
    if session.as_json:
        session.emit([row.payload() | {"rater": _payload(people.get(row.rater_id))} for row in trust])
        return
    names = {rater_id: visible(rater.display_name) for rater_id, rater in people.items()}
    summary = json.loads((run.path / "aggregate.json").read_text(encoding="utf-8"))
    _print_alarms(session, summary, trust, names)
    session.table(("rater", "trust", "95 % interval", "judged", "gold", "notes"), [_row(row, names) for row in trust])


def _print_alarms(
    session: Session, summary: dict[str, Any], trust: "Sequence[RaterTrust]", names: Mapping[str, str]
) -> None:
    """What to act on, above the table."""
    from backstay.report.rater_alarms import rater_alarms

    for alarm in rater_alarms(summary, [row.payload() for row in trust], names):
        session.say("\n".join(_lines(alarm, session.width)) + "\n")


def _lines(alarm: "Alarm", width: int) -> list[str]:
    """An alarm as lines of at most `width` columns; commands stay whole."""
    who = ", ".join(alarm.who[:NAMED]) + (f" and {len(alarm.who) - NAMED} more" if len(alarm.who) > NAMED else "")
    said = [f"{alarm.seen} {alarm.strength}".strip(), who and f"Who: {who}", alarm.act and f"Do: {alarm.act}"]
    lines = _wrapped(f"{alarm.tone.upper()} {alarm.title}", width, "")
    for text in filter(None, said):
        lines += _wrapped(text, width, "  ")
    return lines + [f"    {command}" for command in alarm.commands]


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        visible(text.replace(THIN_SPACE, ",")),
        max(width, 20),
        initial_indent=indent,
        subsequent_indent=indent or "  ",
        break_on_hyphens=False,
    )


def _row(row: "RaterTrust", names: Mapping[str, str]) -> tuple[Any, ...]:
    gold = f"{row.gold_right}/{row.gold_seen}" if row.gold_seen else "none"
    notes = "; ".join(_short(note) for note in row.notes)
    interval = f"{row.low:.2f} to {row.high:.2f}"
    return names.get(row.rater_id, row.rater_id), f"{row.trust:.2f}", interval, row.n_judgments, gold, notes


def _short(note: str) -> str:
    """The note without the figures that follow its colon: alarms and --json give them."""
    return visible(note.partition(": ")[0])


def _rate_folder(session: Session, predicate: dict[str, Any]) -> Path | None:
    name = predicate.get("inputs", {}).get("rate", {}).get("run")
    folder = session.project.runs / name if name else None
    return folder if folder and folder.is_dir() else None


def _payload(rater: "Rater | None") -> dict[str, Any] | None:
    payload: dict[str, Any] | None = rater.payload() if rater else None
    return payload
