"""`backstay aggregate`: the stage; with --compare, all algorithms on its judgments, scored on hidden gold."""

import math
from pathlib import Path
from typing import Any

import click

from backstay.cli.session import Session, recipe_options, shared_options
from backstay.cli.stage import run_stage, stage_command

_stage = stage_command("aggregate")


@click.command(name="aggregate", help=_stage.help)
@recipe_options
@click.option("--dry-run", is_flag=True, help="Print the resolved recipe and what would run; run nothing.")
@click.option("--compare", is_flag=True, help="Only score all algorithms on gold answers that are hidden from them.")
@shared_options
def aggregate(
    session: Session,
    config: Path | None,
    overrides: tuple[str, ...],
    dry_run: bool,
    compare: bool,
) -> None:
    """Turn judgments into pairs with a probability, and raters into trust."""
    if compare:
        _compare(session, config, overrides)
    else:
        run_stage(session, "aggregate", config, overrides, dry_run)


def _compare(session: Session, config: Path | None, overrides: tuple[str, ...]) -> None:
    from dataclasses import asdict

    from backstay.aggregate import collect_votes
    from backstay.aggregate.comparison import compare_algorithms
    from backstay.pipeline.runs import resolve_run
    from backstay.records import Judgment, Task
    from backstay.storage import read_records

    settings = session.recipe(config, overrides).aggregate
    rate = resolve_run(session.project, "rate").path
    votes = collect_votes(read_records(rate / "tasks.jsonl", Task), read_records(rate / "judgments.jsonl", Judgment))
    found = compare_algorithms(votes, settings)
    if session.as_json:
        session.emit([{key: _finite(value) for key, value in asdict(row).items()} for row in found])
        return
    if not found[0].items:
        session.say("too few gold items to compare on: at least as many as aggregate.folds are needed")
        return
    rows = [
        (
            row.algorithm,
            f"{row.accuracy:.1%}",
            f"{row.low:.1%} to {row.high:.1%}",
            f"{row.calibration_error:.3f}",
            "" if row is found[0] else f"+{row.better} -{row.worse} (p {row.p_value:.2f})",
        )
        for row in found
    ]
    columns = ("algorithm", "right on hidden gold", "95 % interval", "calibration error", "items against the first")
    session.table(columns, rows, title=f"{found[0].items} gold items, hidden in turn")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
