"""`backstay STAGE`: one stage alone; the stages before it must be done and are reused."""

from pathlib import Path

import click

from backstay.cli.main import SECTIONS
from backstay.cli.run import run_graph, show_preview
from backstay.cli.session import Session, recipe_options, shared_options


def stage_command(name: str) -> click.Command:
    """The command that runs one stage alone."""
    help_text = (
        f"{SECTIONS['One stage alone'][name][1]}\n\n"
        f"The same as `backstay run --only {name}`: the stages before it must be done and are reused."
    )

    @click.command(name=name, help=help_text)
    @recipe_options
    @click.option("--dry-run", is_flag=True, help="Print the resolved recipe and what would run; run nothing.")
    @shared_options
    def command(session: Session, config: Path | None, overrides: tuple[str, ...], dry_run: bool) -> None:
        run_stage(session, name, config, overrides, dry_run)

    return command


def run_stage(session: Session, name: str, config: Path | None, overrides: tuple[str, ...], dry_run: bool) -> None:
    """Run one stage, or show what it would do."""
    recipe = session.recipe(config, overrides)
    from backstay.pipeline.catalog import loop_graph

    graph = loop_graph(recipe, name)
    selected = graph.select(only=name)
    if dry_run:
        show_preview(session, graph, selected)
    else:
        run_graph(session, graph, selected)


sft = stage_command("sft")
sample = stage_command("sample")
rate = stage_command("rate")
screen = stage_command("screen")
ppo = stage_command("ppo")
dpo = stage_command("dpo")
evaluate = stage_command("evaluate")
redteam = stage_command("redteam")
