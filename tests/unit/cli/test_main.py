import json
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from backstay.cli.main import COMMANDS, SECTIONS, cli

HEAVY = ("torch", "transformers", "numpy", "scipy", "pyarrow", "sqlalchemy", "matplotlib", "pydantic", "rich")


def leaves() -> list[tuple[str, ...]]:
    commands = {name: cli.get_command(click.Context(cli), name) for name in COMMANDS}
    return [path for name, command in commands.items() for path in below((name,), command)]


def below(path: tuple[str, ...], command: click.Command | None) -> list[tuple[str, ...]]:
    inner = command.commands if isinstance(command, click.Group) else {}
    return [path, *(found for name, child in inner.items() for found in below((*path, name), child))]


def groups() -> list[tuple[str, ...]]:
    every = leaves()
    return [path for path in every if any(len(other) > len(path) and other[: len(path)] == path for other in every)]


@pytest.mark.parametrize("path", leaves(), ids=" ".join)
def test_every_command_has_help_and_its_first_line_is_in_the_table(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*path, "--help"])
    assert result.exit_code == 0
    if len(path) == 1:
        assert COMMANDS[path[0]][1] in " ".join(result.output.split())


@pytest.mark.parametrize(
    "path",
    [path for path in leaves() if path not in groups()],
    ids=" ".join,
)
def test_every_command_takes_json_and_project_from_options_and_environment(path: tuple[str, ...]) -> None:
    output = CliRunner().invoke(cli, [*path, "--help"]).output
    assert "BACKSTAY_JSON" in output
    assert "BACKSTAY_PROJECT" in output


def test_the_sections_hold_each_command_once() -> None:
    assert sum(len(section) for section in SECTIONS.values()) == len(COMMANDS)


@pytest.mark.parametrize(
    "path", [(), ("run",), ("sft",), ("import",), ("quarantine", "ls"), ("doctor",), ("chat",), ("guard", "test")]
)
def test_help_imports_nothing_heavy(path: tuple[str, ...]) -> None:
    program = (
        "import sys\nfrom backstay.cli.main import cli\n"
        f"cli.main([*{path!r}, '--help'], standalone_mode=False)\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_help_starts_fast() -> None:
    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "backstay.cli", "--help"], capture_output=True, check=True)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(5)) < 0.3


def backstay(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backstay.cli", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_a_users_mistake_is_one_message_without_a_traceback(tmp_path: Path) -> None:
    done = backstay("run", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: no backstay.yaml in {tmp_path} or above it")
    assert "cure: backstay init DIR" in done.stderr


def test_an_unknown_command_and_option_are_usage_errors(tmp_path: Path) -> None:
    done = backstay("fly", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: No such command 'fly'.\n  cure: backstay --help\n")
    done = backstay("run", "--fly", cwd=tmp_path)
    assert done.returncode == 2
    assert "No such option" in done.stderr
    assert "cure: backstay run --help" in done.stderr


def test_ctrl_c_is_one_line_and_exit_code_130() -> None:
    program = (
        "from backstay.cli import main, session\n"
        "def interrupted(self, *rest): raise KeyboardInterrupt\n"
        "session.Session.recipe = interrupted\n"
        "main.main(['run'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.strip() == "backstay: interrupted; run the same command again to continue"


def test_errors_are_json_for_programs(tmp_path: Path) -> None:
    done = backstay("run", "--json", cwd=tmp_path)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["kind"], error["exit_code"]) == (2, "UsageError", 2)
    assert done.stderr == ""
