"""What every command shares: --project, --json, and the way results are printed."""

import functools
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from backstay.pipeline.project import Project
    from backstay.pipeline.recipe import Recipe


@dataclass(frozen=True)
class Session:
    """One call of a command."""

    start: Path
    as_json: bool

    @functools.cached_property
    def project(self) -> "Project":
        """The project that --project or the current folder lies in."""
        from backstay.pipeline.project import Project

        return Project.find(self.start)

    @functools.cached_property
    def console(self) -> "Console":
        """Where people read."""
        from rich.console import Console

        return Console(highlight=False)

    @property
    def width(self) -> int:
        """Characters in a line of the terminal, 80 where there is none."""
        return shutil.get_terminal_size().columns

    def recipe(self, config: Path | None = None, overrides: Sequence[str] = ()) -> "Recipe":
        """The recipe of the project, or the one named, with environment and arguments laid over it."""
        import os

        path = config or self.project.recipe_path  # Before the slow imports: a wrong folder is told at once.
        from backstay.pipeline.recipe import resolve_recipe
        from backstay.pipeline.recipe_layers import layer_recipe

        return resolve_recipe(layer_recipe(path, overrides, os.environ))

    def emit(self, value: Any) -> None:
        """Print a result for a program."""
        click.echo(json.dumps(value, ensure_ascii=False, default=str))

    def say(self, text: str) -> None:
        """Print a line for a person."""
        click.echo(text)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
        """Print a table for a person; numbers are right-aligned."""
        from backstay.cli.text_table import text_table

        head, body = text_table(columns, rows, width=self.width)
        for line in [title] * bool(title) + [click.style(head, bold=True)] + body:
            click.echo(line)


Command = Callable[..., None]


def shared_options(function: Command) -> Command:
    """Add --project and --json, and hand the command a Session as its first argument."""

    @click.option(
        "--project",
        "start",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=Path(),
        envvar="BACKSTAY_PROJECT",
        show_envvar=True,
        help="A folder inside the project. [default: the current folder]",
    )
    @click.option(
        "--json", "as_json", is_flag=True, envvar="BACKSTAY_JSON", show_envvar=True, help="Print JSON for programs."
    )
    @functools.wraps(function)
    def wrapped(*args: Any, start: Path, as_json: bool, **kwargs: Any) -> None:
        function(Session(start, as_json), *args, **kwargs)

    return wrapped


def recipe_options(function: Command) -> Command:
    """Add -c FILE and key=value arguments."""
    config = click.option(
        "-c",
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The recipe. [default: backstay.yaml of the project]",
    )
    overrides = click.argument("overrides", nargs=-1, metavar="[KEY.SUB=VALUE]...")
    return config(overrides(function))
