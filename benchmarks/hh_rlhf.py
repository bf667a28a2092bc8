"""Real human preferences: import, `run --until ppo`, reward accuracy against bag of words, the PPO curve.

    python benchmarks/hh_rlhf.py --data PATH/harmless-base-test.jsonl.gz

prints one JSON line. Responses are never printed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bag_of_words import cross_validated

from backstay.pipeline.manifest import read_manifest
from backstay.pipeline.project import Project
from backstay.pipeline.runs import resolve_run
from backstay.records import Pair, Response
from backstay.storage import read_records

RECIPE = Path(__file__).parent.parent / "recipes" / "hh-rlhf.yaml"


def backstay(*words: str, project: Path | None = None) -> None:
    """Run the command line as a user would; its progress goes to stderr."""
    where = [] if project is None else ["--project", str(project)]
    subprocess.run([sys.executable, "-m", "backstay.cli", *words, *where], check=True, stdout=sys.stderr)


def bag_of_words(project: Project, folds: int, seed: int) -> dict[str, float]:
    """The peer on the same accepted pairs and the same folds as the reward stage."""
    rate, screen = resolve_run(project, "rate").path, resolve_run(project, "screen").path
    text = {r.id: r.text for r in read_records(rate / "responses.jsonl", Response)}
    train = {
        p["id"] for p in map(json.loads, (rate / "prompts.jsonl").read_text().splitlines()) if p["split"] == "train"
    }
    pairs = [p for p in read_records(screen / "pairs.jsonl", Pair) if p.status in ("accepted", "released")]
    pairs = [p for p in pairs if p.p_a != 0.5 and p.weight > 0 and p.prompt_id in train]
    ids = sorted({p.prompt_id for p in pairs})
    order = np.random.default_rng(seed + 1).permutation(len(ids))
    fold_of = {ids[index]: place % folds for place, index in enumerate(order)}
    chosen = [text[p.a if p.p_a > 0.5 else p.b] for p in pairs]
    rejected = [text[p.b if p.p_a > 0.5 else p.a] for p in pairs]
    return {"pairs": len(pairs), **cross_validated(chosen, rejected, [fold_of[p.prompt_id] for p in pairs])}


def main() -> None:
    """Run everything in a fresh project folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--project", type=Path, help="go on in this folder [default: a new temporary one]")
    options = parser.parse_args()
    root = options.project or Path(tempfile.mkdtemp(prefix="backstay-hh-")) / "hh"
    started = time.monotonic()
    if not (root / "backstay.yaml").exists():
        backstay("init", str(root), "--recipe", str(RECIPE))
        words = ["import", "hh-rlhf", str(options.data.resolve()), "--dataset", "hh-rlhf", "--allow-partial"]
        backstay(*words, project=root)
    backstay("run", "--until", "ppo", project=root)
    wall = time.monotonic() - started
    print(json.dumps(figures(Project.find(root), wall), sort_keys=True))  # a benchmark prints its figures


def figures(project: Project, wall_s: float) -> dict[str, object]:
    """What docs/benchmarks.md shows."""
    reward = json.loads((resolve_run(project, "reward").path / "reward.json").read_text())
    ppo = [json.loads(x) for x in (resolve_run(project, "ppo").path / "metrics.jsonl").read_text().splitlines()]
    stages = {}
    for name in ("sft", "rate", "aggregate", "screen", "reward", "ppo"):
        manifest = read_manifest(resolve_run(project, name).path)
        stages[name] = manifest.predicate if manifest else {}
    seed = stages["reward"]["seeds"]["reward"]
    return {
        "benchmark": "hh-rlhf",
        "wall_s": round(wall_s, 1),
        "peak_gib": round(max(s["peak_bytes"] for s in stages.values()) / 2**30, 2),
        "stage_s": {name: round(s["seconds"], 1) for name, s in stages.items()},
        "reward_folds": reward["folds"],
        "bag_of_words": bag_of_words(project, reward["folds"]["folds"], seed),
        "ppo": [{key: row.get(key) for key in ("update", "reward_mean", "kl_nats", "finished_share")} for row in ppo],
        "ppo_end": stages["ppo"]["summary"],
    }


if __name__ == "__main__":
    main()
