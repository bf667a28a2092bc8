"""`backstay reward`: the reward stage; and `backstay reward score`: its scores for responses in a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.session import Session, shared_options
from backstay.cli.stage import stage_command

if TYPE_CHECKING:
    from backstay.pipeline.score_responses import ScoreReport


class StageGroup(click.Group):
    """A stage command that has commands of its own: without the name of one, the stage runs."""

    allow_interspersed_args = True

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """A context of the group of commands alone when one is named: the stage's KEY=VALUE would swallow the name."""
        if args and args[0] in self.commands:
            inner = click.Group(self.name, commands=self.commands)
            return inner.make_context(info_name, args, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Every argument is the stage's."""
        return click.Command.parse_args(self, ctx, args)


_stage = stage_command("reward")
reward = StageGroup(
    "reward", params=_stage.params, callback=_stage.callback, help=_stage.help, invoke_without_command=True
)


@reward.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--run", "run_text", metavar="RUN", default="reward", help="A run of reward. [default: the latest]")
@click.option("--output", type=click.Path(path_type=Path), help="Where to write. [default: standard output]")
@click.option("--force", is_flag=True, help="Replace the output file.")
@click.option("--allow-partial", is_flag=True, help="Score the good rows when some are bad.")
@click.option(
    "--penalty",
    type=click.FloatRange(min=0.0),
    default=0.5,
    show_default=True,
    help="c in the lower bound, mean - c * spread.",
)
@shared_options
def score(
    session: Session,
    file: Path,
    run_text: str,
    output: Path | None,
    force: bool,
    allow_partial: bool,
    penalty: float,
) -> None:
    """Score the responses in a jsonl file with the reward ensemble.

    A line of FILE (plain or gzip) is an object with `prompt` (a text) or `messages`, and `response`; `id` is handed
    through, `finished` is false for a response that was cut off. Each gets a line with mean, spread between members,
    lower bound, the members' scores, and the cost (harm) where the run has a cost model. Nothing is scored when any row
    is bad, unless --allow-partial is given; then a bad row's line says what is wrong with it.
    """
    from backstay.errors import UsageError
    from backstay.pipeline.runs import resolve_run

    if output is not None and output.exists() and (output.is_dir() or not force):
        raise UsageError(f"{output} exists", cure="choose another name, or give --force")
    run = resolve_run(session.project, run_text)
    from backstay.pipeline.score_responses import load_reward, score_file
    from backstay.storage.atomic import atomic_file

    models = load_reward(run)
    if output is None:
        report = score_file(models, file, sys.stdout.buffer, allow_partial=allow_partial, penalty=penalty)
    else:
        with atomic_file(output) as out:
            report = score_file(models, file, out, allow_partial=allow_partial, penalty=penalty)
    _tell(session, report, run.name, output)


def _tell(session: Session, report: "ScoreReport", run: str, output: Path | None) -> None:
    """The counts: on standard output with --output, else beside the scores on standard error."""
    import json

    where = "standard output" if output is None else str(output)
    if session.as_json:
        click.echo(json.dumps(vars(report) | {"run": run, "output": where}, ensure_ascii=False), err=output is None)
        return
    said = f"{report.scored} of {report.rows} responses scored by {run}, written to {where}"
    said += f"; {report.cut} were cut to the length that the models read" if report.cut else ""
    click.echo(said, err=output is None)
    for problem in report.problems[:10]:
        click.echo(f"  refused {problem}", err=output is None)
