"""On-policy training on the tiny model, small enough for a test."""

import json
from pathlib import Path
from typing import Any

import torch
from tiny_loop import fresh_adapter, fresh_members, prompt_tokens, shaken, tiny_shape
from torch import Tensor

from backstay.learn import PpoSettings
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rl import PolicyResult, PolicyTrainer
from backstay.learn.rl.watch import Gold
from backstay.storage import RunFolder

SMALL: dict[str, Any] = {
    "episodes": 8,
    "max_new_tokens": 6,
    "learning_rate": 5e-3,
    "kl_target": 0.0,
    "kl_budget": 0.0,
    "kl_stop": 0.0,
    "alarm_length": 0.0,
    "alarm_repetition": 0.0,
    "alarm_spread": 0.0,
    "alarm_novelty": 0.0,
    "alarm_divergence": 0.0,
}
GIVEN = ("members", "references", "costs", "lessons", "refuses", "prompts")


def trainer(model: LanguageModel, folder: Path, gold: Gold | None = None, **changes: Any) -> PolicyTrainer:
    """A trainer without alarms on ten prompts; `changes` are settings, or what is given to it by name."""
    train = changes.pop("train", "lora")
    given = {name: changes.pop(name) for name in GIVEN if name in changes}
    return PolicyTrainer(
        model,
        given.pop("prompts", prompt_tokens(model)),
        reference=(shaken(fresh_adapter(model, tiny_shape(train=train)), seed=3).requires_grad_(False),),
        members=given.pop("members", fresh_members(model, 2)),
        shape=tiny_shape(train=train),
        settings=PpoSettings(**(SMALL | changes)),
        folder=RunFolder(folder),
        gold=gold,
        **given,
    )


def rows(folder: Path, name: str = "metrics") -> list[dict[str, Any]]:
    """What a run has logged."""
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def weights(result: PolicyResult) -> Tensor:
    """All weights of the policy that leaves."""
    return torch.cat([tensor.flatten() for tensor in result.policy.state_dict().values()])
