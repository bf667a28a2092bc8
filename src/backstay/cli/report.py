"""`backstay report`: write the report of what has run, or find one that was written."""

from pathlib import Path

import click

from backstay.cli.session import Session, recipe_options, shared_options


@click.command()
@click.option("--run", "run_text", metavar="RUN", help="Show where this report run's page is instead of writing one.")
@click.option("--open", "open_it", is_flag=True, help="Open it in the web browser.")
@recipe_options
@shared_options
def report(
    session: Session, config: Path | None, overrides: tuple[str, ...], run_text: str | None, open_it: bool
) -> None:
    """Write report.html from what has run, and say where it is.

    Stages that have not run with the present recipe are left out and named as such in the report.
    """
    path = _find(session, run_text) if run_text else _write(session, config, overrides)
    if session.as_json:
        session.emit({"report": str(path)})
    else:
        session.say(str(path))
    if open_it:
        click.launch(path.as_uri())


def _find(session: Session, run_text: str) -> Path:
    from backstay.errors import UsageError
    from backstay.pipeline.runs import resolve_run

    run = resolve_run(session.project, run_text)
    path = run.path / "report.html"
    if not path.is_file():
        raise UsageError(f"{run.name} holds no report.html", cure="name a run of the stage report: backstay runs")
    return path


def _write(session: Session, config: Path | None, overrides: tuple[str, ...]) -> Path:
    from backstay.errors import UsageError
    from backstay.pipeline.catalog import loop_graph, partial_report_graph
    from backstay.pipeline.execute import execute, preview
    from backstay.pipeline.progress import watch

    recipe = session.recipe(config, overrides)
    graph = loop_graph(recipe)
    done = {row.stage for row in preview(graph, session.project, graph.names) if row.state == "reuse"}
    if not done - {"report"}:
        raise UsageError("nothing has run with this recipe, so there is nothing to report", cure="backstay run")
    partial = partial_report_graph(recipe, done)
    with watch(session.console, as_json=session.as_json) as observe:
        runs = execute(partial, session.project, {"report"}, observe)
    return runs[-1].folder / "report.html"
