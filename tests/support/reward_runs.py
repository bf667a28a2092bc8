"""A project with finished runs of rate, sft, reward, ppo and evaluate on the tiny model, as folders."""

import json
from pathlib import Path
from typing import Any

from tiny_loop import SUBJECTS, fresh_adapter, fresh_members, shaken, tiny_shape

from backstay.learn import PpoSettings
from backstay.learn.models.adapters import save_adapter
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.scalar_models import save_member
from backstay.pipeline.manifest import write_manifest
from backstay.pipeline.project import Project
from backstay.records import Message, Prompt, Response
from backstay.storage import write_records

RATE, SFT, REWARD, PPO, EVALUATE = (
    f"{stage}-00000000000{i}" for i, stage in enumerate(("rate", "sft", "reward", "ppo", "evaluate"), 1)
)
FINISHED = "2026-01-01T00:00:00.000+00:00"


def prompts() -> list[Prompt]:
    """Ten prompts, the last two held out."""
    splits = ["train"] * 8 + ["heldout"] * 2
    return [
        Prompt.make((Message(role="user", content=f"how is {subject} ?"),), source="test", split=split)  # type: ignore[arg-type]  # a literal
        for subject, split in zip(SUBJECTS, splits, strict=True)
    ]


def responses() -> list[Response]:
    """Six responses to each train prompt."""
    words = ("good", "bad", "lovely", "awful", "warm", "cold")
    return [
        Response.make(p.id, f"{subject} is {word} .", policy="sft", finished=word != "cold")
        for p, subject in zip(prompts()[:8], SUBJECTS, strict=False)
        for word in words
    ]


def write_reward_runs(root: Path, model: LanguageModel, *, costs: int = 0, **ppo: Any) -> Project:
    """Write the project; `ppo` are settings of its policy optimisation."""
    project = Project.create(root, "name: served\n")
    parts = {"model": tiny_shape().model_dump(mode="json")}
    settings = PpoSettings(**({"max_new_tokens": 8, "temperature": 0.9, "episodes": 4} | ppo))
    write_records(project.runs / RATE / "prompts.jsonl", prompts())
    write_records(project.runs / RATE / "responses.jsonl", responses())
    simulated = {"dataset": "served", "judgments": 96, "raters": 5, "simulated": True}
    _finish(project, RATE, {}, {"rate": {"source": "simulated"}}, simulated)
    sft = shaken(fresh_adapter(model, tiny_shape(), seed=1), seed=1)
    save_adapter(sft, project.runs / SFT / "model", base=model.name, extra={"base_digest": model.digest})
    _finish(project, SFT, {}, parts, {})
    for index, member in enumerate(fresh_members(model, 3, layers=0)):
        save_member(member, project.runs / REWARD / "model" / f"member-{index}", base=model.name)
    for index, member in enumerate(fresh_members(model, costs, layers=0)):
        save_member(member, project.runs / REWARD / "model-cost" / f"member-{index}", base=model.name)
    references = {p.id: [[0.0, 0.1 * i, 0.2 * i], [0.3 * i] * 3] for i, p in enumerate(prompts()[:7])}
    (project.runs / REWARD / "reward.json").write_text(json.dumps({"prompt_reference_scores": references}))
    _finish(project, REWARD, {"rate": RATE, "sft": SFT}, parts, {"heldout_accuracy": 0.75, "members": 3})
    policy = shaken(fresh_adapter(model, tiny_shape(), (sft,), seed=2), seed=2)
    sft.name, policy.name = "sft", "policy"
    save_adapter(policy, project.runs / PPO / "model", base=model.name, extra={"base_digest": model.digest})
    rows = [
        {"update": 0, "kl_nats": 0.0, "response_tokens": 5.0},
        {"update": 1, "kl_nats": 2.5, "response_tokens": 4.0},
    ]
    (project.runs / PPO / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = {"algorithm": "ppo", "updates": 1, "reason": "completed", "kl_nats": 2.5}
    inputs = {"rate": RATE, "sft": SFT, "reward": REWARD}
    _finish(project, PPO, inputs, parts | {"ppo": settings.model_dump(mode="json")}, summary)
    return project


def _finish(project: Project, name: str, inputs: dict[str, str], settings: Any, summary: Any) -> None:
    folder = project.runs / name
    folder.mkdir(parents=True, exist_ok=True)
    read = {stage: {"run": run, "sha256": "0" * 64} for stage, run in inputs.items()}
    predicate = {"stage": name.partition("-")[0], "key": "k" * 64, "inputs": read, "settings": settings}
    write_manifest(folder, predicate | {"summary": summary, "finished": FINISHED, "seeds": {}})
