"""One update of policy and critics from a round of experience."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from backstay.errors import UsageError
from backstay.learn.batches import shuffled, similar_rows
from backstay.learn.kl import k3
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.decoder import Adapters, Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import branch_under, response_logprobs
from backstay.learn.policy_loss import (
    Level,
    clip_fraction,
    clipped_policy_loss,
    clipped_value_loss,
    ratio,
    response_ratio,
    token_weights,
)
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.rl.algorithms import ALGORITHMS
from backstay.learn.rl.rollouts import Experience
from backstay.learn.training_state import clip_gradients

MAX_BROKEN_STEPS = 3


@dataclass
class StepTotals:
    """Sums of one optimizer step; losses are already the step's, the rest are sums over its learned tokens."""

    tokens: int
    policy_loss: float = 0.0
    kl_loss: float | None = None
    value_loss: dict[str, float] = field(default_factory=dict)
    ptx_loss: float = 0.0
    approx_kl: float = 0.0
    clipped: float = 0.0
    ratio: float = 0.0

    def means(self) -> dict[str, float]:
        """One row of metrics."""
        tokens = max(self.tokens, 1)
        return {
            "policy_loss": self.policy_loss,
            **({} if self.kl_loss is None else {"kl_loss": self.kl_loss}),
            **{f"{name}_loss": loss for name, loss in self.value_loss.items()},
            "approx_kl": self.approx_kl / tokens,
            "clip_fraction": self.clipped / tokens,
            "ratio": self.ratio / tokens,
        }


class Demonstrations(Protocol):
    """Demonstrations that are mixed into policy gradient steps."""

    def __len__(self) -> int: ...

    def loss(self, decoder: Decoder, adapters: Adapters, rows: Sequence[int]) -> Tensor:
        """Mean cross-entropy of the response tokens of some rows, in nats a token."""
        ...


class Learner:
    """Policy adapter and critics with their optimizers."""

    def __init__(
        self,
        model: LanguageModel,
        reference: Adapters,
        policy: Adapter,
        critics: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        settings: PpoSettings,
        *,
        scoring: Decoder,
        demonstrations: Demonstrations | None = None,
        kl_coefficient: float = 0.0,
    ) -> None:
        self.model = model
        self.adapters = (*reference, policy)
        self.modules: dict[str, nn.Module] = {"policy": policy, **critics}
        self.critics = critics
        self.optimizers = optimizers
        self.settings = settings
        self.scoring = scoring
        self.demonstrations = demonstrations
        self.kl_coefficient = kl_coefficient
        self.ptx_queue: list[int] = []
        self.broken_steps = 0
        algorithm = ALGORITHMS[settings.algorithm]
        self.ratio_level: Level = algorithm.ratio if settings.ratio == "auto" else settings.ratio
        self.average_level: Level = algorithm.average if settings.average == "auto" else settings.average

    def update(self, experience: Experience, generator: torch.Generator) -> list[dict[str, float]]:
        """All epochs and minibatches of an update; stops early when approximate KL passes `kl_stop`.

        Returns the means of each optimizer step taken, the first of which has ratio 1 and KL 0 by construction.
        """
        steps: list[dict[str, float]] = []
        for _ in range(self.settings.epochs):
            order = torch.randperm(len(experience.score_B), generator=generator).to(self.model.device)
            for rows in order.chunk(self.settings.minibatches):
                steps.append(self.step(experience, rows, generator))
                if self.settings.kl_stop and steps[-1]["approx_kl"] > self.settings.kl_stop:
                    return steps
        return steps

    def step(self, experience: Experience, rows: Tensor, generator: torch.Generator) -> dict[str, float]:
        """One optimizer step on some responses, in micro-batches whose gradients add up.

        A gradient that is not finite changes nothing and is counted; three in a row raise UsageError.
        """
        totals = self.accumulate(experience, rows)
        mixed = self._mix_demonstrations(generator)
        norms = {n: clip_gradients([m], self.settings.max_grad_norm) for n, m in self.modules.items()}
        if not all(math.isfinite(norm) for norm in norms.values()):
            self._broken(norms)
        else:
            self.broken_steps = 0
            for optimizer in self.optimizers.values():
                optimizer.step()
        return totals.means() | mixed | {"grad_norm": norms["policy"], "skipped_steps": float(self.broken_steps > 0)}

    def accumulate(self, experience: Experience, rows: Tensor) -> StepTotals:
        """Gradients of the step's loss; each token's share is taken of the whole step."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        learned = experience.learned_B_R[rows]
        totals = StepTotals(int(learned.sum()))
        shares = {level: torch.zeros_like(experience.advantage_B_R) for level in ("token", self.average_level)}
        for level, weights in shares.items():
            weights[rows] = token_weights(learned, "token" if level == "token" else "response").to(weights.dtype)
        for part in similar_rows(experience.rollout.dialogues, rows, self.settings.micro_batch):
            self._accumulate(experience, part, shares[self.average_level][part], shares["token"][part], totals)
        return totals

    def _accumulate(
        self, experience: Experience, rows: Tensor, policy_share: Tensor, value_share: Tensor, totals: StepTotals
    ) -> None:
        settings = self.settings
        dialogues, states = experience.rollout.dialogues.rows(rows), experience.rollout.branch_B_T_D[rows]
        branch = branch_under(self.model.decoder, dialogues, states, self.adapters)
        mask, learned = experience.mask_B_R[rows], experience.learned_B_R[rows]
        old = experience.rollout.logprob_B_R[rows]
        logprob = response_logprobs(
            self.model.decoder, dialogues, branch, self.adapters, temperature=settings.temperature
        )
        r = ratio(logprob, old) if self.ratio_level == "token" else response_ratio(logprob, old, mask)
        losses = clipped_policy_loss(
            r, experience.advantage_B_R[rows], clip=settings.clip, dual_clip=settings.dual_clip
        )
        policy_loss = (losses * policy_share).sum()
        loss = policy_loss
        if settings.kl_in == "loss":
            kl_loss = (k3(logprob, experience.reference_B_R[rows]) * policy_share).sum()
            loss = loss + self.kl_coefficient * kl_loss
            totals.kl_loss = (totals.kl_loss or 0.0) + kl_loss.item()
        base = branch_under(self.scoring, dialogues, states, ()) if self.critics else branch
        for name, critic in self.critics.items():
            known = experience.values[name]
            values = critic(self.scoring, dialogues, base)[:, :-1]
            before, returned = known.value_B_R1[rows, :-1], known.return_B_R[rows]
            value_loss = (clipped_value_loss(values, before, returned, clip=settings.value_clip) * value_share).sum()
            loss = loss + settings.value_coefficient * value_loss
            totals.value_loss[name] = totals.value_loss.get(name, 0.0) + value_loss.item()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        totals.policy_loss += policy_loss.item()
        with torch.no_grad():
            totals.approx_kl += (k3(old, logprob) * learned).sum().item()
            totals.clipped += clip_fraction(r, learned, clip=settings.clip).item()
            totals.ratio += (r * learned).sum().item()

    def _mix_demonstrations(self, generator: torch.Generator) -> dict[str, float]:
        """The PTX term (Ouyang et al. 2022, equation 2): coefficient * cross-entropy of a batch of demonstrations."""
        if self.demonstrations is None or not self.settings.ptx_coefficient:
            return {}
        while len(self.ptx_queue) < self.settings.ptx_batch:
            self.ptx_queue += shuffled(len(self.demonstrations), generator)
        rows, self.ptx_queue = self.ptx_queue[: self.settings.ptx_batch], self.ptx_queue[self.settings.ptx_batch :]
        loss = self.demonstrations.loss(self.model.decoder, self.adapters, rows)
        (self.settings.ptx_coefficient * loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return {"ptx_loss": loss.item()}

    def _broken(self, norms: Mapping[str, float]) -> None:
        self.broken_steps += 1
        if self.broken_steps >= MAX_BROKEN_STEPS:
            raise UsageError(
                f"{self.broken_steps} optimizer steps in a row had gradients that are not finite: {norms}",
                cure="lower ppo.learning_rate, or bound the reward with ppo.reward_clip",
            )
