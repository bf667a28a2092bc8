"""PPO, RLOO, GRPO and DPO from the demo's data, three seeds each: gold before and after, and drift.

    python benchmarks/algorithms.py [--seeds 3] [--project DIR] [--workers 2]

One demo project is run up to its reward ensemble; then every algorithm trains from the same SFT policy, with the same
reward, rollouts, updates, KL coefficient and KL budget (DPO: the same pairs and budget), and is measured by `evaluate`
on held-out prompts. The alarm only warns, so that chance cuts no run short. Raters are simulated, and gold is the
author-written rule. Prints one JSON line.
"""

import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from seed_interval import interval

from backstay.pipeline.manifest import read_manifest
from backstay.pipeline.project import Project
from backstay.pipeline.runs import resolve_run

BUDGET = 5.0
ALGORITHMS: dict[str, tuple[str, ...]] = {
    "ppo": (),
    "rloo": ("ppo.algorithm=rloo", "ppo.group=4"),
    "grpo": ("ppo.algorithm=grpo", "ppo.group=4"),
    "dpo": ("evaluate.policy=dpo",),
}
COMMON = ("model.threads=1",)
SAME = (
    "ppo.updates=10",
    "ppo.on_alarm=warn",
    f"ppo.kl_budget={BUDGET}",
    f"ppo.kl_target={BUDGET}",
    f"dpo.kl_budget={BUDGET}",
)


def backstay(project: Path, *words: str) -> None:
    """Run the loop of a project as a user would."""
    command = [sys.executable, "-m", "backstay.cli", "run", "--project", str(project), *words, *COMMON]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})


def measure(project: Path, name: str, seed: int) -> dict[str, Any]:
    """Train and evaluate one policy."""
    stage = "dpo" if name == "dpo" else "ppo"
    settings = (*ALGORITHMS[name], *SAME, f"{stage}.seed={100 + seed}")
    started = time.monotonic()
    backstay(project, "--until", "evaluate", *settings)
    found = Project.find(project)
    evaluation = json.loads((resolve_run(found, "evaluate").path / "evaluation.json").read_text())
    trained = read_manifest(resolve_run(found, stage).path)
    said = {} if trained is None else trained.predicate
    return {
        "algorithm": name,
        "seed": seed,
        "gold": [evaluation[side]["gold"]["mean"] for side in ("before", "after")],
        "gain": evaluation["difference"]["gold"]["mean"],
        "gain_low": evaluation["difference"]["gold"]["low"],
        "gain_high": evaluation["difference"]["gold"]["high"],
        "reward_gain": evaluation["difference"]["reward"]["mean"],
        "kl_nats": evaluation["kl_nats"]["mean"],
        "train_s": said.get("seconds"),
        "reason": said.get("summary", {}).get("reason"),
        "wall_s": round(time.monotonic() - started, 1),
    }


def work(project: Path, jobs: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """Jobs one after the other in a project of their own."""
    rows = []
    for name, seed in jobs:
        rows.append(measure(project, name, seed))
        print(json.dumps(rows[-1], sort_keys=True), file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--project", type=Path, help="a new folder [default: a temporary one]")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    root = options.project or Path(tempfile.mkdtemp(prefix="backstay-algorithms-")) / "demo"
    started = time.monotonic()
    if not root.exists():
        subprocess.run([sys.executable, "-m", "backstay.cli", "init", str(root)], check=True, stdout=subprocess.DEVNULL)
    backstay(root, "--until", "reward")
    copies = [shutil.copytree(root, root.with_name(f"{root.name}-{i}")) for i in range(options.workers)]
    jobs = [(name, seed) for seed in range(options.seeds) for name in ALGORITHMS]
    with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
        parts = pool.map(work, copies, [jobs[i :: options.workers] for i in range(options.workers)])
        rows = [row for part in parts for row in part]
    table = {}
    for name in ALGORITHMS:
        own = [row for row in rows if row["algorithm"] == name]
        columns = ("gain", "kl_nats", "reward_gain", "train_s")
        table[name] = {column: interval([row[column] for row in own]) for column in columns}
        table[name]["before"] = interval([row["gold"][0] for row in own])
        table[name]["after"] = interval([row["gold"][1] for row in own])
    print(
        json.dumps(
            {
                "benchmark": "algorithms",
                "seeds": options.seeds,
                "kl_budget": BUDGET,
                "table": table,
                "rows": sorted(rows, key=lambda row: (row["algorithm"], row["seed"])),
                "wall_s": round(time.monotonic() - started, 1),
            },
            sort_keys=True,
        )
    )


if __name__ == "__main__":
    main()
