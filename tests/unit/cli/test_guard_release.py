import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tiny_loop import load_tiny
from trained_runs import PPO, write_trained_runs

from backstay.cli.main import cli
from backstay.errors import GateRefused
from backstay.pipeline.project import Project
from backstay.storage.keys import public_keys
from backstay.storage.release import open_release


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("BACKSTAY_CACHE", str(tmp_path / "cache"))
    return write_trained_runs(tmp_path / "p", load_tiny())


def sign(project: Project, *arguments: Any) -> Result:
    command = ["guard", "sign-release", "ppo", "--project", project.root, *arguments]
    return CliRunner().invoke(cli, [str(word) for word in command])


def test_a_run_is_signed_with_the_key_of_a_folder(project: Project, tmp_path: Path) -> None:
    found = sign(project, "--key-dir", tmp_path / "keys", "--json")
    told = json.loads(found.output)
    signed = open_release(project.runs / PPO, public_keys(tmp_path / "keys"))
    assert (told["run"], told["digest"], told["files"]) == (PPO, signed.digest, len(signed.files))
    assert CliRunner().invoke(cli, ["verify", "--project", str(project.root)]).exit_code == 0


def test_a_gate_that_said_no_is_exit_3(project: Project) -> None:
    path = project.runs / PPO / "manifest.json"
    statement = json.loads(path.read_text())
    statement["predicate"]["gates"] = {"harm": {"passed": False, "value": 0.4}}
    path.write_text(json.dumps(statement))
    found = sign(project)
    assert isinstance(found.exception, GateRefused) and found.exception.exit_code == 3
    assert "harm" in found.exception.message and not (project.runs / PPO / "release.json").exists()
