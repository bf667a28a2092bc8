"""Commands where an extra is missing: one line that says what to install, and what needs no extra works."""

import subprocess
import sys
from pathlib import Path

import pytest

from backstay.cli.failures import MODULES

pytestmark = pytest.mark.integration
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from backstay.cli.main import main
main(sys.argv[2:])
"""


def without(extras: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    modules = ",".join(module for extra in extras.split() for module in MODULES[extra])
    command = [sys.executable, "-c", WITHOUT, modules, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("missing", "command", "cure"),
    [
        ("aggregate train", "init there", "pip install 'backstay[aggregate]', or for training too: pip install"),
        ("aggregate train", "aggregate -c any.yaml", "pip install 'backstay[aggregate]', or for training too"),
        ("train", "sft --project project", "pip install 'backstay[train]'"),
        ("guard", "guard serve --check --upstream http://127.0.0.1:9/v1", "pip install 'backstay[guard]'"),
        ("guard", "guard key add x", "pip install 'backstay[guard]'"),
        ("guard", "guard test policy.yaml", "pip install 'backstay[guard]'"),
    ],
)
def test_what_to_install_is_said(tmp_path: Path, missing: str, command: str, cure: str) -> None:
    rule = "{id: a, effect: forbid, match: {point: request.input}, when: 'true', reason: r}"
    (tmp_path / "policy.yaml").write_text(f"policy: 1\nrules: [{rule}]\n")
    if "--project" in command:
        assert without("guard", tmp_path, "init", "project").returncode == 0
    done = without(missing, tmp_path, *command.split())
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "is not installed, and" in done.stderr
    assert f"cure: {cure}" in done.stderr


def test_judgments_need_no_torch(tmp_path: Path) -> None:
    rows = [f"question {i},a good answer {i},no {i},{'ab'[i % 3 == 0]},{rater}" for i in range(12) for rater in "xyz"]
    (tmp_path / "rows.csv").write_text("prompt,response_a,response_b,choice,rater\n" + "\n".join(rows))
    dataset = ("rate.source=dataset", "rate.dataset=crowd")
    project = ("--project", "project")
    for command in (
        ("init", "project"),
        ("import", "csv", "rows.csv", "--dataset", "crowd", *project),
        ("run", "--from", "rate", "--until", "screen", *dataset, *project),
    ):
        done = without("train guard", tmp_path, *command)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "project" / ".backstay" / "runs").is_dir()


def test_the_guard_needs_neither_torch_nor_the_loop(tmp_path: Path) -> None:
    done = without("train aggregate", tmp_path, "guard", "serve", "--check", "--upstream", "http://127.0.0.1:9/v1")
    assert done.returncode == 0 and done.stdout.startswith("all is well")
