"""The whole loop through the command line, on the tiny model: every stage, reuse, verification, and imported pairs."""

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
    "reward.members=3",
    "reward.layers=1",
    "reward.lora_rank=2",
    "reward.epochs=1",
    "ppo.updates=2",
    "ppo.episodes=16",
    "ppo.micro_batch=8",
    "ppo.max_new_tokens=10",
    "evaluate.max_new_tokens=10",
    "evaluate.responses=1",
    "evaluate.bootstrap=100",
    "redteam.flip_shares=[0.0, 0.4]",
    "redteam.seeds=1",
    "redteam.bootstrap=100",
)


def backstay(project: Path, *words: str, fails: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backstay.cli", *words]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == fails, done.stdout + done.stderr
    return done


def run_folders(project: Path) -> dict[str, Path]:
    folders = (project / ".backstay" / "runs").iterdir()
    return {path.name.rsplit("-", 1)[0]: path for path in folders if path.is_dir()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loop") / "demo"
    backstay(root.parent, "init", "demo")
    backstay(root, "run", *SMALL)
    return root


def test_every_stage_leaves_a_manifest_whose_hashes_hold(project: Path) -> None:
    runs = run_folders(project)
    assert set(runs) == {
        *("sft", "sample", "rate", "aggregate", "screen", "reward", "ppo", "evaluate", "redteam", "report")
    }
    assert all((path / "manifest.json").is_file() for path in runs.values())
    backstay(project, "verify")


def test_no_file_of_a_run_is_pickled(project: Path) -> None:
    files = [file for path in run_folders(project).values() for file in path.rglob("*") if file.is_file()]
    kinds = {file.suffix or file.name for file in files}
    assert kinds <= {".json", ".jsonl", ".yaml", ".html", ".safetensors", ".lock"}


def test_a_second_run_reuses_every_stage(project: Path) -> None:
    events = [json.loads(line) for line in backstay(project, "run", "--json", *SMALL).stdout.splitlines()]
    states = [event["event"] for event in events if event.get("event") in ("reused", "started", "resumed")]
    assert states == ["reused"] * 10


def test_changing_the_last_training_stage_reuses_what_comes_before_it(project: Path) -> None:
    shown = backstay(project, "run", "--dry-run", "--json", *SMALL, "ppo.learning_rate=0.002").stdout
    stages = {row["stage"]: row["state"] for row in json.loads(shown)["stages"]}
    assert {stages[name] for name in ("sft", "sample", "rate", "aggregate", "screen", "reward")} == {"reuse"}
    assert stages["ppo"] == "run"


def test_the_report_is_one_small_page_without_network(project: Path) -> None:
    page = (run_folders(project)["report"] / "report.html").read_text()
    assert len(page.encode()) < 2_000_000
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "simulated" in page.lower()


def test_the_policy_and_members_are_peft_folders(project: Path) -> None:
    runs = run_folders(project)
    for folder in (runs["sft"] / "model", runs["ppo"] / "model", runs["reward"] / "model" / "member-2"):
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config["peft_type"] == "LORA"
        assert (folder / "adapter_model.safetensors").is_file()


def test_an_edited_output_is_found_and_the_stage_runs_again(project: Path) -> None:
    trust = run_folders(project)["aggregate"] / "trust.jsonl"
    before = trust.read_bytes()
    trust.write_bytes(before.replace(b'"trust":0.', b'"trust":1.', 1))
    assert "trust.jsonl" in backstay(project, "verify", fails=4).stderr
    backstay(project, "run", "--until", "aggregate", *SMALL)
    assert trust.read_bytes() == before


def test_imported_human_pairs_reach_a_policy(tmp_path: Path) -> None:
    rows = [
        {
            "chosen": f"\n\nHuman: how do i cook bread {i} ?\n\nAssistant: bake it slow .",
            "rejected": f"\n\nHuman: how do i cook bread {i} ?\n\nAssistant: {'no ' * (i % 5 + 1)}.",
        }
        for i in range(40)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    backstay(tmp_path, "init", "hh")
    project = tmp_path / "hh"
    backstay(project, "import", "hh-rlhf", str(tmp_path / "pairs.jsonl"), "--dataset", "mine")
    dataset = ("rate.source=dataset", "rate.dataset=mine", "demonstrations=preferred", "reward.folds=2")
    backstay(project, "run", "--until", "ppo", *SMALL, *dataset)
    runs = run_folders(project)
    assert "sample" not in runs
    reward = json.loads((runs["reward"] / "reward.json").read_text())
    assert reward["folds"]["folds"] == 2
    assert (runs["ppo"] / "model" / "adapter_model.safetensors").is_file()


def test_members_by_rater_rankings_debiasing_and_a_cost_model(project: Path, tmp_path: Path) -> None:
    changed = (
        "reward.split=raters",
        "reward.rankings=true",
        "reward.length_debias=true",
        "reward.margin=0.5",
        "reward.label_smoothing=0.05",
        "reward.cost_members=2",
    )
    done = backstay(project, "reward", "--json", *SMALL, *changed)
    folder = Path(json.loads(done.stdout.splitlines()[-1])["result"])
    found = json.loads((folder / "reward.json").read_text())
    assert len(found["teaching"]["shards"]) == 3 and all(s["lessons"] for s in found["teaching"]["shards"])
    assert len(found["length"]["slopes"]) == 3 and found["length"]["correlation_debiased"] is not None
    assert found["cost"]["terms"].startswith("sign only") and found["cost"]["heldout"]["responses"] > 0
    assert (folder / "model-cost" / "member-1" / "head.safetensors").is_file()
    assert {row["family"] for row in found["accuracy_by"]["family"]} <= {"plain", "refuse", "borderline", "opinion"}
    assert {len(scores) for rows in found["prompt_reference_scores"].values() for scores in rows} == {3}
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "how is tea ?", "response": "good ."}) + "\n")
    scored = backstay(project, "reward", "score", str(rows), "--run", folder.name)
    assert json.loads(scored.stdout)["cost"] is not None
