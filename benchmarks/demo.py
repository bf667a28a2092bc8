"""The demo: what it gains by the gold rule, at what drift, in how long and how much memory; simulated raters.

    python benchmarks/demo.py [--project DIR]

runs `backstay init`, `plan` and `run` in a new folder and prints one JSON line, with the ratio of plan to measurement.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from backstay.feedback import rater_kinds
from backstay.pipeline.manifest import read_manifest
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import resolve_recipe
from backstay.pipeline.recipe_layers import layer_recipe
from backstay.pipeline.runs import resolve_run
from backstay.records import RaterTrust
from backstay.storage import read_records

STAGES = ("sft", "sample", "rate", "aggregate", "screen", "reward", "ppo", "evaluate", "redteam", "report")
LIARS = ("flipping", "colluding")


def backstay(*words: str) -> str:
    """Run the command line as a user would."""
    command = [sys.executable, "-m", "backstay.cli", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, help="a new folder [default: a temporary one]")
    options = parser.parse_args()
    root = options.project or Path(tempfile.mkdtemp(prefix="backstay-demo-")) / "demo"
    backstay("init", str(root))
    planned = json.loads(backstay("plan", "--json", "--project", str(root)))["total"]
    started = time.monotonic()
    backstay("run", "--project", str(root))
    print(json.dumps(figures(Project.find(root), planned, time.monotonic() - started), sort_keys=True))


def figures(project: Project, planned: dict[str, Any], wall_s: float) -> dict[str, Any]:
    """What docs/benchmarks.md shows."""
    runs = {name: resolve_run(project, name).path for name in STAGES}
    said = {name: found.predicate for name, path in runs.items() if (found := read_manifest(path))}
    evaluation = json.loads((runs["evaluate"] / "evaluation.json").read_text())
    reward = json.loads((runs["reward"] / "reward.json").read_text())
    attack = json.loads((runs["redteam"] / "redteam.json").read_text())["label_flip"]
    peak = max(predicate["peak_bytes"] for predicate in said.values())
    return {
        "benchmark": "demo",
        "wall_s": round(wall_s, 1),
        "peak_gib": round(peak / 2**30, 2),
        "stage_s": {name: predicate["seconds"] for name, predicate in said.items()},
        "plan_s_ratio": round(planned["seconds"] / wall_s, 3) if planned.get("seconds") else None,
        "plan_peak_ratio": round(planned["peak_bytes"] / peak, 3) if planned.get("peak_bytes") else None,
        "gold": {"before": evaluation["before"]["gold"], "after": evaluation["after"]["gold"]},
        "gold_difference": evaluation["difference"]["gold"],
        "win_rate": evaluation["win_rate"],
        "kl_nats": evaluation["kl_nats"],
        "refusal": {side: evaluation[side]["refusal"]["mean"] for side in ("before", "after")},
        "over_refusal": {side: evaluation[side]["over_refusal"]["mean"] for side in ("before", "after")},
        "reward_heldout": {key: reward["heldout"][key] for key in ("pairs", "accuracy", "low", "high", "ece", "gold")},
        "held_out_gold_items": json.loads((runs["aggregate"] / "aggregate.json").read_text())["held_out_gold"],
        "liars_least_trusted": liars_least_trusted(project, runs["aggregate"]),
        "label_flip": [
            {key: row[key] for key in ("share", "arm", "accuracy", "low", "high")} for row in attack["rows"]
        ],
    }


def liars_least_trusted(project: Project, aggregate: Path) -> dict[str, Any]:
    """Whether the flipping and colluding raters are exactly the least trusted ones."""
    kinds = rater_kinds(resolve_recipe(layer_recipe(project.recipe_path, (), {})).rate)
    trust = sorted(read_records(aggregate / "trust.jsonl", RaterTrust), key=lambda rater: rater.trust)
    liars = sum(kind in LIARS for kind in kinds.values())
    return {"liars": liars, "among_the_lowest": sum(kinds[rater.rater_id] in LIARS for rater in trust[:liars])}


if __name__ == "__main__":
    main()
