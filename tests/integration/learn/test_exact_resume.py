"""A run that is killed with SIGKILL and started again ends with the bytes of a run that was not."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_loop
from safetensors.torch import load_file
from torch import nn

from backstay.learn.training_state import TrainingState

pytestmark = pytest.mark.integration


def killed(stage: str, folder: Path, moment: str) -> None:
    """Start a stage in another process, which kills itself at `moment`."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, tiny_loop.__file__, stage, str(folder), moment]
    ended = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.safetensors"))
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def outcome(folder: Path, modules: dict[str, nn.Module]) -> dict[str, Any]:
    """Everything that a run leaves: weights, the last checkpoints with optimizers and generators, and the logs."""
    weights = folder / "weights"
    weights.mkdir()
    TrainingState(modules, {}, {}).write(weights)
    states = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("checkpoints/*/state.json")}
    logs = {path.name: path.read_bytes() for path in sorted(folder.glob("*.jsonl")) if path.name != "timing.jsonl"}
    assert sum(name.startswith("checkpoints/") for name in hashes(folder)) >= 6
    return {
        "files": hashes(folder),
        "states": {name: state["state"] for name, state in states.items()},
        "positions": {name: {k: v for k, v in s["positions"].items() if k != "timing"} for name, s in states.items()},
        "logs": logs,
    }


CASES = [
    ("sft", ["rows:5", "files:2"]),
    ("reward", ["rows:8", "files:7"]),
    ("shards", ["rows:5", "rows:7"]),
    ("ppo", ["rows:4", "files:4"]),
    ("safe", ["rows:4"]),
    ("dpo", ["rows:4", "files:3"]),
    pytest.param("sft", ["rows:1", "rows:3", "rows:4", "rows:6"], marks=pytest.mark.slow),
    pytest.param("shards", ["files:6", "rows:4", "files:3"], marks=pytest.mark.slow),
    pytest.param("reward", ["files:1", "rows:9", "rows:3", "rows:7"], marks=pytest.mark.slow),
    pytest.param("ppo", ["rows:1", "files:6", "rows:3", "rows:3"], marks=pytest.mark.slow),
    pytest.param("safe", ["files:9", "files:3", "rows:1", "files:12", "rows:2"], marks=pytest.mark.slow),
    pytest.param("rloo", ["rows:2", "files:4", "rows:3"], marks=pytest.mark.slow),
    pytest.param("grpo", ["files:2", "rows:4", "files:1"], marks=pytest.mark.slow),
    pytest.param("reinforce++", ["rows:3", "files:5", "rows:1"], marks=pytest.mark.slow),
    pytest.param("dpo", ["rows:1", "files:6", "rows:3", "rows:2"], marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("stage", "moments"), CASES)
def test_a_killed_run_ends_with_the_bytes_of_an_unbroken_one(stage: str, moments: list[str], tmp_path: Path) -> None:
    whole = outcome(tmp_path / "whole", tiny_loop.run_stage(stage, tmp_path / "whole"))
    for moment in moments:
        killed(stage, tmp_path / "broken", moment)
    broken = outcome(tmp_path / "broken", tiny_loop.run_stage(stage, tmp_path / "broken"))
    for part, found in whole.items():
        assert broken[part] == found, part


def test_a_resumed_run_takes_up_every_state_there_is(tmp_path: Path) -> None:
    """What the case `safe` compares has moved away from where it starts."""
    tiny_loop.run_stage("safe", tmp_path)
    (*_, last) = sorted((tmp_path / "checkpoints").iterdir())
    state = json.loads((last / "state.json").read_text())["state"]
    assert state["alarm"]["streak"]["length"] > 1 and len(state["alarm"]["probes"]) > 1
    assert state["multiplier"]["log"] != 0 and state["multiplier"]["costs"] and state["ptx_queue"] and state["queue"]
    files = {path.stem: load_file(path) for path in last.glob("*.safetensors")}
    assert files["novelty"]["limit"].isfinite()
    assert any(not files["good"][name].equal(tensor) for name, tensor in files["policy"].items())
    assert {"value", "cost_value", "value.optimizer", "cost_value.optimizer"} <= files.keys()


def test_a_finished_run_started_again_gives_the_same(tmp_path: Path) -> None:
    first = outcome(tmp_path, tiny_loop.run_stage("sft", tmp_path))
    for file in (tmp_path / "weights").iterdir():
        file.unlink()
    (tmp_path / "weights").rmdir()
    assert outcome(tmp_path, tiny_loop.run_stage("sft", tmp_path)) == first
