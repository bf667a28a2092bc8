"""One update of policy and value model from a round of experience."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from backstay.learn.batches import similar_rows
from backstay.learn.kl import k3
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.decoder import Adapters
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import branch_under, response_logprobs
from backstay.learn.policy_loss import clip_fraction, clipped_policy_loss, clipped_value_loss, ratio
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.rl.rollouts import Experience
from backstay.learn.scalar_models import ValueModel
from backstay.learn.training_state import clip_gradients


@dataclass
class MinibatchTotals:
    """Sums over real tokens of one optimizer step."""

    tokens: int
    policy_loss: float = 0.0
    value_loss: float = 0.0
    approx_kl: float = 0.0
    clipped: float = 0.0
    ratio: float = 0.0

    def means(self) -> dict[str, float]:
        """The same a token."""
        return {
            "policy_loss": self.policy_loss / self.tokens,
            "value_loss": self.value_loss / self.tokens,
            "approx_kl": self.approx_kl / self.tokens,
            "clip_fraction": self.clipped / self.tokens,
            "ratio": self.ratio / self.tokens,
        }


class Learner:
    """Policy adapter and value model with their optimizers."""

    def __init__(
        self,
        model: LanguageModel,
        reference: Adapters,
        policy: Adapter,
        value: ValueModel,
        optimizers: tuple[Optimizer, Optimizer],
        settings: PpoSettings,
    ) -> None:
        self.model = model
        self.adapters = (*reference, policy)
        self.policy = policy
        self.value = value
        self.policy_optimizer, self.value_optimizer = optimizers
        self.settings = settings

    def update(self, experience: Experience, generator: torch.Generator) -> list[dict[str, float]]:
        """All epochs and minibatches of an update; stops early when approximate KL passes `kl_stop`.

        Returns the means of each optimizer step taken, the first of which has ratio 1 and KL 0 by construction.
        """
        steps: list[dict[str, float]] = []
        for _ in range(self.settings.epochs):
            order = torch.randperm(len(experience.score_B), generator=generator).to(self.model.device)
            for rows in order.chunk(self.settings.minibatches):
                steps.append(self.step(experience, rows))
                if self.settings.kl_stop and steps[-1]["approx_kl"] > self.settings.kl_stop:
                    return steps
        return steps

    def step(self, experience: Experience, rows: Tensor) -> dict[str, float]:
        """One optimizer step on some responses, in micro-batches whose gradients add up."""
        totals = self.accumulate(experience, rows)
        clip_gradients([self.policy], self.settings.max_grad_norm)
        clip_gradients([self.value], self.settings.max_grad_norm)
        self.policy_optimizer.step()
        self.value_optimizer.step()
        return totals.means()

    def accumulate(self, experience: Experience, rows: Tensor) -> MinibatchTotals:
        """Gradients of the minibatch's loss, divided by the minibatch's own token count."""
        self.policy_optimizer.zero_grad()
        self.value_optimizer.zero_grad()
        totals = MinibatchTotals(int(experience.mask_B_R[rows].sum()))
        for part in similar_rows(experience.rollout.dialogues, rows, self.settings.micro_batch):
            self._accumulate(experience, part, totals)
        return totals

    def _accumulate(self, experience: Experience, rows: Tensor, totals: MinibatchTotals) -> None:
        settings = self.settings
        dialogues, branch = experience.rollout.dialogues.rows(rows), experience.rollout.branch_B_T_D[rows]
        branch = branch_under(self.model.decoder, dialogues, branch, self.adapters)
        mask = experience.mask_B_R[rows]
        old = experience.rollout.logprob_B_R[rows]
        logprob = response_logprobs(
            self.model.decoder, dialogues, branch, self.adapters, temperature=settings.temperature
        )
        values = self.value(branch.detach()[:, dialogues.prompt_width - 1 : -1])
        policy_loss = clipped_policy_loss(logprob, old, experience.advantage_B_R[rows], mask, clip=settings.clip)
        value_loss = clipped_value_loss(
            values, experience.value_B_R1[rows, :-1], experience.return_B_R[rows], mask, clip=settings.value_clip
        )
        ((policy_loss + settings.value_coefficient * value_loss) / totals.tokens).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        totals.policy_loss += policy_loss.item()
        totals.value_loss += value_loss.item()
        with torch.no_grad():
            totals.approx_kl += (k3(old, logprob) * mask).sum().item()
            totals.clipped += clip_fraction(logprob, old, mask, clip=settings.clip).item()
            totals.ratio += (ratio(logprob, old) * mask).sum().item()
