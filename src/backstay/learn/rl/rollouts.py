"""One round of experience: responses, scores, log-probabilities, values, advantages."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backstay.learn.advantage import gae, token_rewards, whiten
from backstay.learn.batches import similar_rows
from backstay.learn.bradley_terry import conservative_score, spread
from backstay.learn.decoding import Rollout, sample
from backstay.learn.kl import k1
from backstay.learn.models.decoder import Adapters, Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import branch_under, response_logprobs
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.rl.scorers import Scorer
from backstay.learn.scalar_models import ValueModel


@dataclass(frozen=True)
class Experience:
    """What PPO learns from, all without gradients. B responses, R columns; `value_B_R1` has one column more."""

    rollout: Rollout
    reference_B_R: Tensor
    value_B_R1: Tensor
    raw_score_B: Tensor
    score_B: Tensor
    spread_B: Tensor
    kl_B_R: Tensor
    advantage_B_R: Tensor
    return_B_R: Tensor

    @property
    def mask_B_R(self) -> Tensor:
        """True at real response tokens."""
        return self.rollout.dialogues.response_mask_B_R

    @property
    def kl_nats(self) -> float:
        """Mean over responses of the summed k1 estimate, in nats a response."""
        return float(self.kl_B_R.sum(1).mean())


@torch.no_grad()
def collect(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    policy: Adapters,
    reference: Adapters,
    members: Sequence[Scorer],
    value: ValueModel,
    baseline: Sequence[float],
    settings: PpoSettings,
    kl_coefficient: float,
    generator: torch.Generator,
    scoring: Decoder | None = None,
) -> Experience:
    """Sample one response a prompt and work out all that the losses need.

    `baseline` is one number a prompt, subtracted from its score: Bradley-Terry scores are known only up to a constant a
    prompt, and what does not depend on the response changes the variance of the policy gradient, not its mean.
    `scoring` is the decoder that the members run on where it is not the policy's own.
    """
    rollout = sample(
        model,
        prompts,
        adapters=policy,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        generator=generator,
        keep_branch=True,
    )
    reference_B_R, raw_M_B = _scored(model, rollout, reference, members, settings, scoring or model.decoder)
    raw = conservative_score(raw_M_B, penalty=settings.uncertainty_penalty)
    score = final_score(raw - torch.tensor(baseline, device=raw.device), rollout.finished_B, settings)
    mask, dialogues = rollout.dialogues.response_mask_B_R, rollout.dialogues
    kl = k1(rollout.logprob_B_R, reference_B_R) * mask
    values = value(rollout.branch_B_T_D[:, dialogues.prompt_width - 1 :])
    rewards = token_rewards(score, kl, mask, dialogues.response_B, kl_coefficient=kl_coefficient)
    advantage, returned = gae(
        rewards, values, dialogues.response_B, rollout.finished_B, gamma=settings.gamma, lam=settings.lam
    )
    return Experience(
        rollout=rollout,
        reference_B_R=reference_B_R,
        value_B_R1=values,
        raw_score_B=raw_M_B.mean(0),
        score_B=score,
        spread_B=spread(raw_M_B),
        kl_B_R=kl,
        advantage_B_R=whiten(advantage, mask),
        return_B_R=returned,
    )


def final_score(raw_B: Tensor, finished_B: Tensor, settings: PpoSettings) -> Tensor:
    """The bounded score, less the penalty of responses that did not end."""
    bounded = raw_B.clamp(-settings.reward_clip, settings.reward_clip) if settings.reward_clip else raw_B
    return bounded - settings.no_eos_penalty * (~finished_B)


def _scored(
    model: LanguageModel,
    rollout: Rollout,
    reference: Adapters,
    members: Sequence[Scorer],
    settings: PpoSettings,
    scoring: Decoder,
) -> tuple[Tensor, Tensor]:
    everyone = torch.arange(len(rollout.finished_B), device=model.device)
    groups = similar_rows(rollout.dialogues, everyone, settings.micro_batch)
    logprobs, scores = [], []
    for rows in groups:
        dialogues, branch = rollout.dialogues.rows(rows), rollout.branch_B_T_D[rows]
        under = branch_under(model.decoder, dialogues, branch, reference)
        logprobs.append(response_logprobs(model.decoder, dialogues, under, reference, temperature=settings.temperature))
        base = branch_under(scoring, dialogues, branch, ())
        scores.append(torch.stack([member(scoring, dialogues, base) for member in members]))
    back = torch.argsort(torch.cat(groups))
    return torch.cat(logprobs)[back], torch.cat(scores, 1)[:, back]
