"""`backstay raters`: whom can we believe, and how much?"""

from pathlib import Path
from typing import Any

import click

from backstay.cli.session import Session, shared_options


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
    rows = [
        (
            people[row.rater_id].display_name if row.rater_id in people else row.rater_id,
            f"{row.trust:.2f}",
            f"{row.low:.2f} to {row.high:.2f}",
            row.n_judgments,
            f"{row.gold_right}/{row.gold_seen}",
            "; ".join(row.notes),
        )
        for row in trust
    ]
    session.table(("rater", "trust", "95 % interval", "judgments", "gold", "notes"), rows)


def _rate_folder(session: Session, predicate: dict[str, Any]) -> Path | None:
    name = predicate.get("inputs", {}).get("rate", {}).get("run")
    folder = session.project.runs / name if name else None
    return folder if folder and folder.is_dir() else None


def _payload(rater: Any) -> dict[str, Any] | None:
    payload: dict[str, Any] | None = rater.payload() if rater else None
    return payload
