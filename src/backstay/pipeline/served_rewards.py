"""The reward of a run, ready to be served: members, costs, reference scores, and a gate set on the rated responses."""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from backstay.errors import UsageError
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.models.load import load_model
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.reward_settings import RewardSettings
from backstay.learn.rewards.reward_requests import Reader
from backstay.learn.rewards.served_reward import Row, ServedReward
from backstay.learn.rl.rewards import split_references
from backstay.learn.settings import ModelSettings
from backstay.pipeline.project import Project
from backstay.pipeline.recipe import Recipe
from backstay.pipeline.runs import Run, open_run
from backstay.pipeline.stages.base_model import load_costs, load_ensemble
from backstay.pipeline.texts import load_prompts
from backstay.records import Prompt, Response
from backstay.storage import read_records

Say = Callable[[str], None]


@dataclass(frozen=True)
class Served:
    """A reward with what reads texts for it."""

    reward: ServedReward
    reader: Reader
    run: str


@dataclass(frozen=True)
class Ancestry:
    """The runs that a policy's or a reward's run was made from, as far as they are still there."""

    run: Run
    reward: Run
    rate: Run

    @classmethod
    def of(cls, project: Project, run: Run) -> "Ancestry":
        """Follow a finished run of ppo, dpo or reward back; raises UsageError when one of them is gone."""
        if run.manifest is None or run.stage not in {"reward", "ppo", "dpo"}:
            state = "unfinished" if run.manifest is None else f"a run of {run.stage}"
            raise UsageError(f"{run.name} is {state}; a finished run of reward or ppo is needed", cure="backstay runs")
        reward = run if run.stage == "reward" else input_of(project, run, "reward")
        return cls(run, reward, input_of(project, reward, "rate"))


def input_of(project: Project, run: Run, stage: str) -> Run:
    """The run of `stage` that a finished run read; raises UsageError when it is gone."""
    named: Mapping[str, Any] = run.manifest.predicate["inputs"].get(stage, {}) if run.manifest else {}
    path = project.runs / str(named.get("run", ""))
    found = open_run(path) if named and path.is_dir() else None
    if found is None or found.manifest is None:
        raise UsageError(f"{run.name} read a run of {stage} that is not here any longer", cure="backstay run")
    return found


def settings_of(run: Run, part: str, kind: type[Any]) -> Any:
    """A part of the recipe that a finished run was made with; settings that came later have their defaults."""
    stored = run.manifest.predicate["settings"].get(part, {}) if run.manifest else {}
    known = {name: value for name, value in stored.items() if name in kind.model_fields}
    return kind.model_validate_json(json.dumps(known), strict=True)


def load_served(project: Project, run: Run, say: Say, *, calibration: int = 256, price: float | None = None) -> Served:
    """Load the reward behind a run of ppo or reward, and set its gate on up to `calibration` rated responses.

    `price` is the multiplier of the cost; by default the last one of the run, or 0 where it had no constraint.
    """
    ancestry = Ancestry.of(project, run)
    settings: PpoSettings = settings_of(run, "ppo", PpoSettings)
    model = load_model(settings_of(ancestry.reward, "model", ModelSettings))
    ensemble = load_ensemble(model, ancestry.reward.path)
    members = ensemble[: len(ensemble) - settings.held_out_members]
    costs = load_costs(model, ancestry.reward.path)
    reward = ServedReward(
        model,
        members,
        costs=costs,
        settings=settings,
        references=_references(ancestry.reward, len(members), settings),
        price=last_multiplier(run.path) if price is None else price,
    )
    reader = Reader(model, _prompts(model, prompts_of(project, ancestry.rate)), settings.max_new_tokens)
    stored = _stored_features(ancestry.reward.path) if reward.reads_features else {}
    longest = settings_of(ancestry.reward, "reward", RewardSettings).max_response_tokens
    rated = _rated(replace(reader, max_new_tokens=longest), ancestry.rate.path, set(stored), calibration)
    say(f"{len(members)} reward members, {len(costs)} cost members; setting the gate on {len(rated)} rated responses")
    states = torch.stack([stored[name] for name in rated]).to(model.device) if stored and rated else None
    reward.calibrate(list(rated.values()), states)
    return Served(reward, reader, run.name)


def last_multiplier(run: Path) -> float:
    """The Lagrange multiplier in the last row of metrics that has one, or 0."""
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    values = [row["multiplier"] for row in rows if isinstance(row.get("multiplier"), int | float)]
    return float(values[-1]) if values else 0.0


def _references(reward: Run, trained_on: int, settings: PpoSettings) -> dict[str, Sequence[float]]:
    """Scores of each prompt's reference responses, as training saw them.

    Raises UsageError for a run that was made before the scores of single members were kept.
    """
    found: dict[str, Any] = json.loads((reward.path / "reward.json").read_text()).get("prompt_reference_scores", {})
    if not found or not all(isinstance(scores, list) for rows in found.values() for scores in rows):
        raise UsageError(
            f"reward.json of {reward.name} has no reference scores of single members: an older version wrote it",
            cure="train the reward again with `backstay run --until reward`",
        )
    scores, _ = split_references(list(found.values()), len(found), trained_on, settings)
    return dict(zip(found, scores, strict=True))


def prompts_of(project: Project, rate: Run) -> list[Prompt]:
    """The prompts of a run of rate, and the held-out ones that it left aside, where they are still to be had."""
    found = {prompt.id: prompt for prompt in read_records(rate.path / "prompts.jsonl", Prompt)}
    settings = rate.manifest.predicate["settings"] if rate.manifest else {}
    if settings.get("rate", {}).get("source") == "simulated" and "prompts" in settings:
        with contextlib.suppress(UsageError):  # The file may be gone; training prompts are with the run.
            aside = load_prompts(Recipe(prompts=settings["prompts"]), project)
            found |= {prompt.id: prompt for prompt in aside if prompt.split == "heldout"}
    return list(found.values())


def _prompts(model: LanguageModel, prompts: Sequence[Prompt]) -> dict[str, tuple[int, ...]]:
    found = {prompt.id: model.prompt_tokens(prompt) for prompt in prompts}
    return {name: tuple(tokens) for name, tokens in found.items() if tokens is not None}


def _stored_features(reward: Path) -> dict[str, torch.Tensor]:
    """Pooled branch states of the rated responses, which the reward stage left, by response id; or nothing."""
    path = reward / "features.safetensors"
    if not path.is_file():
        return {}
    with safe_open(path, "pt") as file:
        ids = json.loads(file.metadata()["ids"])
        pooled = file.get_tensor("pooled")
    return dict(zip(ids, pooled, strict=True))


def _rated(reader: Reader, rate: Path, wanted: set[str], count: int) -> dict[str, Row]:
    """A random choice of the rated responses, always the same one; of the `wanted` ones, where any are named."""
    path = rate / "responses.jsonl"
    every = [r for r in read_records(path, Response) if r.prompt_id in reader.prompts] if path.exists() else []
    every = [response for response in every if not wanted or response.id in wanted]
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0)).tolist()
    chosen = [every[index] for index in sorted(order[:count])]
    return {r.id: reader.row(None, r.text, r.finished, r.prompt_id) for r in chosen}
