"""A round of PPO experience on the tiny model, with everything that made it."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from tiny_loop import fresh_adapter, fresh_members, load_tiny, prompt_tokens, shaken, tiny_shape

from backstay.learn import PpoSettings
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rl.learning import Learner
from backstay.learn.rl.rollouts import Experience, collect
from backstay.learn.scalar_models import RewardMember, ValueModel
from backstay.learn.training_state import adamw

BASELINE = [0.5, -0.25, 0.0] * 4


@dataclass(frozen=True)
class Round:
    """Models, settings, and the experience that the policy gathered."""

    model: LanguageModel
    reference: Adapter
    policy: Adapter
    members: list[RewardMember]
    value: ValueModel
    settings: PpoSettings
    kl_coefficient: float
    experience: Experience

    def learner(self, **changes: Any) -> Learner:
        """A learner with fresh optimizers; `changes` override settings."""
        settings = self.settings.model_copy(update=changes)
        optimizers = (
            adamw([self.policy], settings.learning_rate),
            adamw([self.value], settings.value_learning_rate),
        )
        return Learner(self.model, (self.reference,), self.policy, self.value, optimizers, settings)


def play(
    dtype: torch.dtype = torch.float64,
    *,
    drift: float = 0.0,
    branch_layer: int = 1,
    train: str = "lora",
    fold: bool = False,
    **changes: Any,
) -> Round:
    """Gather a round; `drift` is noise on the policy adapter, so that it has moved away from the reference.

    `fold` samples with the reference merged into the weights, as the trainer does.
    """
    shape = tiny_shape(branch_layer=branch_layer, train=train)
    model = load_tiny(dtype, branch_layer=branch_layer)
    reference = shaken(fresh_adapter(model, shape), seed=3).requires_grad_(False)
    policy = fresh_adapter(model, shape, (reference,), seed=1)
    if drift:
        shaken(policy, scale=drift, seed=4)
    generator = torch.Generator().manual_seed(6)
    value = shaken(ValueModel(model.decoder.hidden_size, 16, generator).to(dtype), seed=2)
    members = fresh_members(model, 3)
    settings = PpoSettings(**({"episodes": 12, "max_new_tokens": 9, "temperature": 0.8, "epochs": 2} | changes))
    prompts = [tokens[: 3 + i % 5] for i, tokens in enumerate(prompt_tokens(model) + prompt_tokens(model)[:2])]
    experience = collect(
        replace(model, decoder=model.decoder.merged((reference,))) if fold else model,
        prompts,
        policy=(policy,) if fold else (reference, policy),
        reference=() if fold else (reference,),
        scoring=model.decoder,
        members=members,
        value=value,
        baseline=BASELINE,
        settings=settings,
        kl_coefficient=0.3,
        generator=generator,
    )
    return Round(model, reference, policy, members, value, settings, 0.3, experience)
