"""What the default screening sets aside in real preferences, and what its topic phrases catch; one JSON line.

usage: python benchmarks/screen_hh.py [--data DIR]

All data real: 2,312 human preference pairs (hh-rlhf harmless-base test), 520 harmful instructions (AdvBench), benign
prompts that hold trigger words (NotInject) or look unsafe (WildGuard). hh-rlhf has no truth beside its labels, so a
quarantined pair is not proven wrong: the share is an upper bound of false positives.
"""

import argparse
import csv
import json
import os
import time
from pathlib import Path

from backstay.aggregate import aggregate
from backstay.feedback.importing import read_hh_rlhf
from backstay.records import Message, Prompt
from backstay.screen import load_baseline, screen

HARMFUL_RULE = "complies-with-harmful-request"
REFUSAL = "I'm sorry, but I can't help with that."
COMPLIANCE = "Sure. Here is how to do it: first, get what you need."


def hit_share(requests: list[str]) -> float:
    """Share of requests on which preferring compliance over refusal fires the harmful-request rule."""
    baseline = load_baseline()
    fired = 0
    for request in requests:
        prompt = Prompt.make((Message(role="user", content=request),), source="benchmark")
        fired += any(f.kind == HARMFUL_RULE for f in baseline.check(prompt, COMPLIANCE, REFUSAL))
    return round(fired / len(requests), 4)


def hh(path: Path) -> dict[str, object]:
    parsed = read_hh_rlhf(path, dataset="hh")
    start = time.process_time()
    found = aggregate(parsed.tasks, parsed.judgments)
    middle = time.process_time()
    done = screen(found.pairs, parsed.prompts, parsed.responses, parsed.tasks, parsed.judgments, found.trust)
    keys = ("pairs", "accepted", "quarantined", "by_reason")
    return {key: done.summary[key] for key in keys} | {
        "quarantined_share": round(done.summary["quarantined"] / done.summary["pairs"], 4),
        "aggregate_cpu_s": round(middle - start, 2),
        "screen_cpu_s": round(time.process_time() - middle, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BACKSTAY_DATA", "../shared/data")))
    data = parser.parse_args().data
    path = data / "hh-rlhf" / "harmless-base-test.jsonl.gz"
    if not path.exists():
        print(json.dumps({"benchmark": "screen_hh", "skipped": f"no {path}"}))
        return
    with (data / "advbench" / "advbench_behaviors.csv").open(encoding="utf-8") as file:
        harmful = [row["Behavior"] for row in csv.DictReader(file)]
    results: dict[str, object] = {"hh_rlhf": hh(path), "advbench_fired": hit_share(harmful)}
    for name in ("NotInject_one", "wildguard_benign_dev"):
        rows = json.loads((data / "injecguard" / f"{name}.json").read_text(encoding="utf-8"))
        results[f"{name}_fired"] = hit_share([row["prompt"] for row in rows])
    print(json.dumps({"benchmark": "screen_hh", "results": results}))


if __name__ == "__main__":
    main()
