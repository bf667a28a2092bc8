"""`backstay plan`: time, memory and disk before a run."""

from pathlib import Path

import click

from backstay.cli.session import Session, recipe_options, shared_options

MIB = 1 << 20


@click.command()
@recipe_options
@shared_options
def plan(session: Session, config: Path | None, overrides: tuple[str, ...]) -> None:
    """Estimate time, memory and disk before a run.

    Seconds are for this machine with nothing else running; stages that would be reused cost nothing.
    """
    from backstay.pipeline.plan import plan as estimate

    found = estimate(session.recipe(config, overrides), session.project)
    if session.as_json:
        rows = [
            {"stage": row.stage, "state": row.state, "cost": vars(row.cost) if row.cost else None} for row in found.rows
        ]
        totals = {"seconds": found.seconds, "peak_bytes": found.peak_bytes, "disk_bytes": found.disk_bytes}
        session.emit({"stages": rows, "total": totals, "without_estimate": found.unknown})
        return
    session.table(
        ("stage", "would", "seconds", "peak MiB", "disk MiB"),
        [
            (row.stage, row.state, round(row.cost.seconds), row.cost.peak_bytes // MIB, row.cost.disk_bytes // MIB)
            if row.cost
            else (row.stage, row.state, "no estimate", "", "")
            for row in found.rows
        ],
    )
    session.say(
        f"total: {found.seconds:.0f} s, {found.peak_bytes / MIB:.0f} MiB of memory at the peak, "
        f"{found.disk_bytes / MIB:.0f} MiB of disk"
        + (f"; without an estimate: {', '.join(found.unknown)}" if found.unknown else "")
    )
