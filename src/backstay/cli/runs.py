"""`backstay runs`: what has run."""

import click

from backstay.cli.session import Session, shared_options


@click.command()
@shared_options
def runs(session: Session) -> None:
    """List the runs of a project."""
    from backstay.pipeline.runs import latest_pointers, list_runs

    latest = set(latest_pointers(session.project).values())
    rows = [
        {
            "run": run.name,
            "stage": run.stage,
            "state": "finished" if run.manifest else "unfinished",
            "latest": run.name in latest,
            "seconds": run.manifest.predicate.get("seconds") if run.manifest else None,
            "finished": run.finished,
        }
        for run in list_runs(session.project)
    ]
    if session.as_json:
        session.emit(rows)
    elif not rows:
        session.say("no runs yet; start with: backstay run")
    else:
        session.table(
            ("run", "state", "seconds", "finished", ""),
            [
                (row["run"], row["state"], row["seconds"] or "", row["finished"], "latest" if row["latest"] else "")
                for row in rows
            ],
        )
