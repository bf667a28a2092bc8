"""Red team: attacks on the pipeline itself."""

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open

from backstay.pipeline.stage import StageContext, Summary
from backstay.records import Prompt, Response, Task, canonical_json
from backstay.redteam import interaction_features, label_flip_matrix
from backstay.storage import read_records, write_atomic


def run(context: StageContext) -> Summary:
    """Repeat aggregation, screening and reward learning with more and more lying raters; write redteam.json."""
    recipe, rate = context.recipe, context.inputs["rate"]
    prompts = read_records(rate / "prompts.jsonl", Prompt)
    if recipe.rate.source != "simulated":
        reason = "imported judgments have no clean truth to attack; run it on the demo recipe"
        write_atomic(
            context.folder.path / "redteam.json", canonical_json({"label_flip": None, "reason": reason}) + b"\n"
        )
        context.say(f"label-flip attack not run: {reason}")
        return {"label_flip": "not run", "reason": reason}
    feature_of = read_features(context.inputs["reward"] / "features.safetensors")
    responses = [r for r in read_records(rate / "responses.jsonl", Response) if r.id in feature_of]
    tasks = [t for t in read_records(rate / "tasks.jsonl", Task) if all(r in feature_of for r in t.response_ids)]
    matrix = label_flip_matrix(
        prompts,
        responses,
        tasks,
        feature_of,
        json.loads((context.inputs["reward"] / "reward.json").read_text())["heldout_prompts"],
        recipe.redteam,
        rate=recipe.rate,
        aggregation=recipe.aggregate,
        screening=recipe.screen,
    )
    write_atomic(context.folder.path / "redteam.json", canonical_json({"label_flip": matrix}) + b"\n")
    worst = max(row["share"] for row in matrix["rows"])
    return {f"accuracy_{row['arm']}_at_{worst}": row["accuracy"] for row in matrix["rows"] if row["share"] == worst}


def read_features(path: Path) -> dict[str, np.ndarray]:
    """Linear features by response id, from the pooled states that the reward stage kept."""
    with safe_open(path, framework="np") as file:
        pooled = file.get_tensor("pooled").astype(np.float64)
        ids = json.loads(file.metadata()["ids"])
        sizes = json.loads(file.metadata()["sizes"])
    response, prompt = np.split(pooled, [sizes[0]], axis=1)
    return dict(zip(ids, interaction_features(response, prompt), strict=True))
