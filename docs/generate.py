"""Write the pages that are made from the program: cli.md, settings.md and index.md. Run by `make docs`."""

from collections.abc import Iterator
from pathlib import Path

import click
from pydantic import BaseModel

from backstay.cli.main import SECTIONS, cli
from backstay.pipeline.recipe import Recipe

FOLDER = Path(__file__).parent
WIDTH = 100
CLI_HEAD = """\
# Command line

Made from `--help` by `make docs`. Every command takes `--json` for programs and `--project DIR`; every option can be
set by a variable, `BACKSTAY_COMMAND_OPTION`, and every setting of the recipe by `BACKSTAY_SECTION__KEY`.

| exit code | meaning |
|---|---|
| 0 | ok |
| 1 | failed |
| 2 | usage: a wrong option, a missing file, a recipe that does not resolve |
| 3 | a gate refused |
| 4 | integrity broken: a journal, manifest or hash does not hold |
| 130 | interrupted; run the same command again to continue |
"""
INDEX_HEAD = """\
# Documentation

Made from the titles of the pages by `make docs`.
"""
SETTINGS_HEAD = """\
# Settings

Made from the program by `make docs`. These are the keys of `backstay.yaml`; on the command line and in variables they
are written `ppo.updates=3` and `BACKSTAY_PPO__UPDATES=3`. An unknown key is refused.
"""


def cli_page() -> str:
    """Every command's help page, by section."""
    parts = [CLI_HEAD]
    for title, commands in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in commands:
            parts.extend(_help_pages(name))
    return "\n".join(parts)


def _help_pages(name: str) -> Iterator[str]:
    root = click.Context(cli, info_name="backstay", auto_envvar_prefix="BACKSTAY", terminal_width=WIDTH)
    command = cli.get_command(root, name)
    if command is None:
        raise LookupError(name)
    context = click.Context(command, parent=root, info_name=name, help_option_names=["-h", "--help"])
    yield f"### backstay {name}\n\n```text\n{command.get_help(context)}\n```\n"
    for child in command.commands.values() if isinstance(command, click.Group) else ():
        inner = click.Context(child, parent=context, info_name=child.name)
        yield f"### backstay {name} {child.name}\n\n```text\n{child.get_help(inner)}\n```\n"


def settings_page() -> str:
    """Every setting with its default and meaning."""
    lines = [SETTINGS_HEAD, *_table("", Recipe())]
    return "\n".join(lines) + "\n"


def _table(prefix: str, section: BaseModel) -> list[str]:
    lines = ["| key | default | meaning |", "|---|---|---|"]
    nested: list[str] = []
    for name, info in type(section).model_fields.items():
        value, meaning = getattr(section, name), " ".join((info.description or "").split()).replace("|", "\\|")
        if isinstance(value, BaseModel):
            nested += [f"\n## {prefix}{name}\n\n{meaning}\n", *_table(f"{prefix}{name}.", value)]
        else:
            shown = list(value) if isinstance(value, tuple) else value
            lines.append(f"| `{prefix}{name}` | `{shown!r}` | {meaning} |")
    return [*lines, *nested]


def index_page() -> str:
    """Every page by folder, with its title."""
    lines = [INDEX_HEAD]
    pages = sorted(path for path in FOLDER.rglob("*.md") if path.name != "index.md")
    for folder in sorted({path.parent for path in pages}, key=lambda path: (path != FOLDER, path)):
        if folder != FOLDER:
            lines += ["", f"## {folder.name}", ""]
        lines += [f"- [{_title(path)}]({path.relative_to(FOLDER)})" for path in pages if path.parent == folder]
    return "\n".join(lines) + "\n"


def _title(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    if not first.startswith("# "):
        raise ValueError(f"{path} does not begin with a title")
    return first.removeprefix("# ")


PAGES = {"cli.md": cli_page, "settings.md": settings_page, "index.md": index_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
