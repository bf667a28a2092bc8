"""Aggregate: judgments to pairs, and raters to trust."""

from backstay.aggregate import aggregate
from backstay.pipeline.stage import StageContext, Summary
from backstay.records import Judgment, Task, canonical_json
from backstay.storage import read_records, write_atomic, write_records


def run(context: StageContext) -> Summary:
    """Read tasks and judgments of the rate run; write pairs.jsonl, trust.jsonl and aggregate.json."""
    rate = context.inputs["rate"]
    tasks = read_records(rate / "tasks.jsonl", Task)
    judgments = read_records(rate / "judgments.jsonl", Judgment)
    found = aggregate(tasks, judgments, context.recipe.aggregate)
    folder = context.folder.path
    write_records(folder / "pairs.jsonl", found.pairs)
    write_records(folder / "trust.jsonl", found.trust)
    write_atomic(folder / "aggregate.json", canonical_json(found.summary) + b"\n")
    counts, held_out = found.summary["counts"], found.summary["held_out_gold"]
    return {
        "pairs": len(found.pairs),
        "raters": len(found.trust),
        "below_chance": counts["raters_below_chance"],
        "in_blocs": counts["raters_in_blocs"],
        "heldout_gold": held_out["items"],
        "reliability_accuracy": held_out["reliability_accuracy"],
        "majority_accuracy": held_out["majority_accuracy"],
    }
