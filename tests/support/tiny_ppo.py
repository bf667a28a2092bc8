"""A round of on-policy experience on the tiny model, for every algorithm, with everything that made it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import torch
from tiny_loop import fresh_adapter, fresh_members, load_tiny, prompt_tokens, shaken, tiny_shape
from torch import Tensor, nn
from torch.nn import functional

from backstay.learn import PpoSettings
from backstay.learn.batches import Dialogues
from backstay.learn.decoding import Rollout
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.decoder import Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.rl import rollouts
from backstay.learn.rl.critics import RewardCritic, TrunkCritic
from backstay.learn.rl.learning import Demonstrations, Learner
from backstay.learn.rl.rollouts import COST, REWARD, Actors, Experience, collect
from backstay.learn.rl.scorers import Scorer
from backstay.learn.scalar_models import RewardMember, ValueModel
from backstay.learn.training_state import adamw

EPISODES = 12
BASELINE = [0.5, -0.25, 0.0] * 4
KL_COEFFICIENT = 0.3
MULTIPLIER = 0.7
STOPS = tuple(range(2, 100, 8))  # a random model ends as often as not within nine tokens

VARIANTS: dict[str, dict[str, Any]] = {
    "ppo": {},
    "rloo": {"algorithm": "rloo", "group": 3},
    "grpo": {"algorithm": "grpo", "group": 3},
    "reinforce++": {"algorithm": "reinforce++"},
    "ppo with cost": {"cost_threshold": 0.0},
    "ppo with a reward critic": {"critic": "reward"},
}
"""Every algorithm, and ppo with what changes its advantages."""


@dataclass(frozen=True)
class Round:
    """Models, settings, and the experience that the policy gathered."""

    model: LanguageModel
    reference: Adapter
    policy: Adapter
    members: list[RewardMember]
    costs: list[RewardMember]
    critics: dict[str, nn.Module]
    settings: PpoSettings
    actors: Actors
    prompts: list[list[int]]
    experience: Experience

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Everything that learns."""
        return {"policy": self.policy, **self.critics}

    def learner(self, demonstrations: Demonstrations | None = None, **changes: Any) -> Learner:
        """A learner with fresh optimizers; `changes` override settings."""
        settings = self.settings.model_copy(update=changes)
        optimizers = {"policy": adamw([self.policy], settings.learning_rate)}
        optimizers |= {name: adamw([critic], settings.value_learning_rate) for name, critic in self.critics.items()}
        return Learner(
            self.model,
            (self.reference,),
            self.policy,
            self.critics,
            optimizers,
            settings,
            scoring=self.model.decoder,
            demonstrations=demonstrations,
            kl_coefficient=KL_COEFFICIENT,
        )

    def replay(
        self,
        rollout: Rollout | None = None,
        rows: Tensor | None = None,
        *,
        kl_coefficient: float = KL_COEFFICIENT,
        multiplier: float = MULTIPLIER,
        members: Sequence[Scorer] | None = None,
        costs: Sequence[Scorer] | None = None,
        **changes: Any,
    ) -> Experience:
        """The experience of responses that are given; `rows` says whose prompts they answer (default: all in order)."""
        chosen = list(range(len(self.prompts))) if rows is None else rows.tolist()
        actors = replace(
            self.actors,
            members=self.members if members is None else members,
            costs=self.actors.costs if costs is None else costs,
        )
        with mock.patch.object(rollouts, "sample", return_value=rollout or self.experience.rollout):
            return collect(
                actors,
                [self.prompts[index] for index in chosen],
                references=[[self.baseline(index)] for index in chosen],
                settings=self.settings.model_copy(update=changes),
                kl_coefficient=kl_coefficient,
                multiplier=multiplier,
                generator=torch.Generator(),
            )

    def baseline(self, row: int) -> float:
        """The reference score of a row's prompt."""
        return BASELINE[row // self.settings.group]


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
    model = replace(load_tiny(dtype, branch_layer=branch_layer), stop_ids=STOPS)
    reference = shaken(fresh_adapter(model, shape), seed=3).requires_grad_(False)
    policy = fresh_adapter(model, shape, (reference,), seed=1)
    if drift:
        shaken(policy, scale=drift, seed=4)
    settings = PpoSettings(**({"episodes": EPISODES, "max_new_tokens": 9, "temperature": 0.8, "epochs": 2} | changes))
    generator = torch.Generator().manual_seed(6)
    *members, harm = fresh_members(model, 4)
    costs = [harm] if settings.cost_threshold is not None else []
    critics = _critics(model, members, costs, settings, generator)
    actors = Actors(
        model=replace(model, decoder=model.decoder.merged((reference,))) if fold else model,
        policy=(policy,) if fold else (reference, policy),
        reference=() if fold else (reference,),
        members=members,
        scoring=model.decoder,
        costs=costs,
        critics=critics,
    )
    prompts = _prompts(model, settings.group)
    experience = collect(
        actors,
        prompts,
        references=[[BASELINE[row // settings.group]] for row in range(len(prompts))],
        settings=settings,
        kl_coefficient=KL_COEFFICIENT,
        multiplier=MULTIPLIER,
        generator=generator,
    )
    return Round(model, reference, policy, members, costs, critics, settings, actors, prompts, experience)


def _prompts(model: LanguageModel, group: int) -> list[list[int]]:
    tokens = prompt_tokens(model) + prompt_tokens(model)[:2]
    cut = [prompt[: 3 + i % 5] for i, prompt in enumerate(tokens)]
    return [prompt for prompt in cut[: EPISODES // group] for _ in range(group)]


def _critics(
    model: LanguageModel,
    members: list[RewardMember],
    costs: list[RewardMember],
    settings: PpoSettings,
    generator: torch.Generator,
) -> dict[str, nn.Module]:
    if settings.algorithm != "ppo":
        return {}
    starts = {REWARD: members[0]} | ({COST: costs[0]} if costs else {})
    made: dict[str, nn.Module] = {}
    for seed, (name, start) in enumerate(starts.items()):
        fresh = TrunkCritic(ValueModel(model.decoder.hidden_size, 16, generator))
        critic = RewardCritic(start) if settings.critic == "reward" else fresh
        made[name] = shaken(critic.to(model.decoder.embedding.dtype), seed=2 + seed, scale=0.1)
    return made


def advanced(played: Round, scale: float = 0.05) -> Round:
    """The same round after policy and critics have moved on, so that no ratio is 1."""
    with torch.no_grad():
        for module in played.modules.values():
            for parameter in module.parameters():
                wave = torch.sin(torch.arange(parameter.numel(), dtype=parameter.dtype)).view_as(parameter)
                parameter.add_(scale * wave)
    return played


def gradients(played: Round, experience: Experience, rows: Tensor, **changes: Any) -> tuple[dict[str, float], Tensor]:
    """Means of a step on `rows` and all its gradients, one after the other."""
    learner = played.learner(**changes)
    totals = learner.accumulate(experience, rows)
    found = [p.grad for module in played.modules.values() for p in module.parameters()]
    flat = [torch.zeros(1) if grad is None else grad.flatten() for grad in found]
    return totals.means() | {"tokens": totals.tokens}, torch.cat(flat).clone()


def rows_of(rollout: Rollout, rows: Tensor) -> Rollout:
    """Some rows of a rollout."""
    return Rollout(
        rollout.dialogues.rows(rows), rollout.logprob_B_R[rows], rollout.branch_B_T_D[rows], rollout.finished_B[rows]
    )


def widened(rollout: Rollout, left: int, right: int) -> Rollout:
    """The same responses with more padding on both sides, full of noise where nothing may be read."""
    dialogues = rollout.dialogues
    wide = Dialogues(
        functional.pad(dialogues.tokens_B_T, (left, right), value=77),
        dialogues.prompt_B,
        dialogues.response_B,
        dialogues.prompt_width + left,
    )
    return Rollout(
        wide,
        functional.pad(rollout.logprob_B_R, (0, right), value=-2.5),
        functional.pad(rollout.branch_B_T_D, (0, 0, left, right), value=1.5),
        rollout.finished_B,
    )


class Failing:
    """A scorer that gives `broken` where `fails(dialogues)` says so, and `inner`'s score elsewhere."""

    def __init__(self, inner: Scorer, fails: Any, broken: float = float("nan")) -> None:
        self.inner, self.fails, self.broken = inner, fails, broken

    def __call__(self, decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor) -> Tensor:
        """Scores `[B]`."""
        return self.inner(decoder, dialogues, branch_B_T_D).masked_fill(self.fails(dialogues), self.broken)


class Constant:
    """A scorer that gives every response the same score."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor) -> Tensor:
        """Scores `[B]`."""
        return branch_B_T_D.new_full((len(dialogues.response_B),), self.value)
