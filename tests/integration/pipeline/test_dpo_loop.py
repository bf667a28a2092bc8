"""The loop with DPO in the place of PPO, through the command line, on the tiny model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

SMALL = (
    "model.source=tiny",
    "model.branch_layer=1",
    "model.threads=1",
    "model.lora_rank=4",
    "sft.epochs=1",
    "sample.responses=3",
    "sample.max_new_tokens=10",
    "rate.pairs_per_prompt=2",
    "reward.members=2",
    "reward.epochs=1",
    "dpo.epochs=1",
    "dpo.kl_samples=8",
    "dpo.max_new_tokens=10",
    "evaluate.max_new_tokens=10",
    "evaluate.responses=1",
    "evaluate.bootstrap=100",
    "evaluate.policy=dpo",
    "redteam.flip_shares=[0.0, 0.4]",
    "redteam.seeds=1",
    "redteam.bootstrap=100",
)


def backstay(project: Path, *words: str, given: str = "") -> str:
    command = [sys.executable, "-m", "backstay.cli", *words]
    done = subprocess.run(
        command, cwd=project, capture_output=True, text=True, check=False, timeout=300, input=given or None
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_folders(project: Path) -> dict[str, Path]:
    folders = (project / ".backstay" / "runs").iterdir()
    return {path.name.rsplit("-", 1)[0]: path for path in folders if path.is_dir()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loop") / "demo"
    backstay(root.parent, "init", "demo")
    backstay(root, "run", *SMALL)
    return root


def test_the_loop_trains_dpo_and_no_ppo(project: Path) -> None:
    runs = run_folders(project)
    loop = ("sft", "sample", "rate", "aggregate", "screen", "reward", "dpo", "evaluate", "redteam", "report")
    assert set(runs) == set(loop)
    backstay(project, "verify")


def test_the_run_is_a_policy_over_sft_learned_from_accepted_pairs(project: Path) -> None:
    runs = run_folders(project)
    predicate = json.loads((runs["dpo"] / "manifest.json").read_text())["predicate"]
    accepted = json.loads((runs["screen"] / "screen.json").read_text())["accepted"]
    summary = predicate["summary"]
    assert summary["pairs"] + summary["pairs_with_empty_response"] == accepted
    assert summary["steps"] == -(-summary["pairs"] // 8) and summary["reason"] == "completed"
    assert set(predicate["inputs"]) == {"rate", "screen", "sft"}
    assert json.loads((runs["dpo"] / "model" / "backstay.json").read_text())["over"] == "sft"
    rows = [json.loads(line) for line in (runs["dpo"] / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["loss"] == pytest.approx(0.693147, abs=1e-4)
    assert rows[-1]["kl_nats"] == summary["kl_nats"]


def test_before_and_after_are_measured_and_reported(project: Path) -> None:
    runs = run_folders(project)
    evaluation = json.loads((runs["evaluate"] / "evaluation.json").read_text())
    assert evaluation["kl_nats"]["mean"] != 0
    page = (runs["report"] / "report.html").read_text()
    assert "DPO steps" in page and "PPO" not in page


def test_another_loss_runs_alone_and_reuses_what_comes_before(project: Path) -> None:
    backstay(project, "dpo", *SMALL, "dpo.loss=kto", "dpo.seed=7")
    shown = backstay(project, "run", "--dry-run", "--json", *SMALL, "dpo.loss=kto", "dpo.seed=7")
    states = {row["stage"]: row["state"] for row in json.loads(shown)["stages"]}
    assert states["dpo"] == "reuse" and states["evaluate"] == "run"
    backstay(project, "run", "--until", "dpo", *SMALL)


def test_dpo_runs_beside_a_loop_that_evaluates_ppo(project: Path) -> None:
    shown = backstay(project, "dpo", "--dry-run", "--json", *SMALL, "evaluate.policy=ppo")
    assert [row["stage"] for row in json.loads(shown)["stages"] if row["stage"] == "dpo"] == ["dpo"]


def test_the_policy_can_be_talked_to_compared_and_exported(project: Path) -> None:
    assert "dpo" in backstay(project, "chat", "dpo", given="how is the sun ?\n")
    assert "settings.dpo.beta" in backstay(project, "compare", "sft", "dpo")
    backstay(project, "export", "merged", "out", "--run", "dpo")
    assert (project / "out" / "model.safetensors").is_file()
