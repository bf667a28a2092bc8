"""`backstay run`: the whole graph or a part of it."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.session import Session, recipe_options, shared_options

if TYPE_CHECKING:
    from backstay.pipeline.execute import StageRun
    from backstay.pipeline.graph import Graph


@click.command()
@recipe_options
@click.option("--only", metavar="STAGE", help="Run this stage; those before it must be done.")
@click.option("--from", "start_at", metavar="STAGE", help="Run this stage and what follows from it.")
@click.option("--until", metavar="STAGE", help="Run what leads to this stage, and it.")
@click.option(
    "--resume/--fresh", default=True, show_default=True, help="Go on from checkpoints, or start unfinished stages anew."
)
@click.option("--dry-run", is_flag=True, help="Print the resolved recipe and what would run; run nothing.")
@shared_options
def run(
    session: Session,
    config: Path | None,
    overrides: tuple[str, ...],
    only: str | None,
    start_at: str | None,
    until: str | None,
    resume: bool,
    dry_run: bool,
) -> None:
    """Run the stage graph; what is done already is reused.

    Settings come from the recipe, then from BACKSTAY_SECTION__KEY variables, then from KEY.SUB=VALUE arguments.
    Kill it at any moment and run it again: it goes on where it was.
    """
    recipe = session.recipe(config, overrides)
    from backstay.pipeline.catalog import loop_graph

    graph = loop_graph(recipe, only, start_at, until)
    selected = graph.select(only=only, start=start_at, until=until)
    if dry_run:
        show_preview(session, graph, selected)
    else:
        run_graph(session, graph, selected, resume=resume)


def run_graph(session: Session, graph: "Graph", selected: Collection[str], *, resume: bool = True) -> None:
    """Execute, showing progress; the last line is the path of the report, or of the last run."""
    from backstay.pipeline.execute import execute
    from backstay.pipeline.progress import watch

    project = session.project
    with watch(session.console, as_json=session.as_json) as observe:
        runs = execute(graph, project, selected, observe, resume=resume)
    last = runs[-1]
    result = last.folder / "report.html" if last.stage == "report" else last.folder
    if session.as_json:
        session.emit({"event": "done", "runs": [_row(item) for item in runs], "result": str(result)})
    else:
        session.say(str(result))


def _row(item: "StageRun") -> dict[str, Any]:
    return {"stage": item.stage, "run": item.folder.name, "state": item.state, "summary": item.summary}


def show_preview(session: Session, graph: "Graph", selected: Collection[str]) -> None:
    """Print the resolved recipe and what would happen to each stage."""
    from backstay.pipeline.execute import preview

    rows = preview(graph, session.project, selected)
    if session.as_json:
        session.emit({"recipe": graph.recipe.model_dump(mode="json"), "stages": [vars(row) for row in rows]})
        return
    session.say(graph.recipe.to_yaml())
    session.table(
        ("stage", "would", "run"), [(row.stage, row.state, row.run or "(known once its inputs are)") for row in rows]
    )
