"""How far a policy has drifted: KL to the reference on responses that the policy itself samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from backstay.learn.batches import shuffled, similar_rows
from backstay.learn.decoding import sample
from backstay.learn.kl import k1
from backstay.learn.models.decoder import Adapters
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import branch_under, response_logprobs
from backstay.learn.preference_settings import DpoSettings


@dataclass(frozen=True)
class Drift:
    """Mean over responses of the summed k1 estimate, in nats a response, and the responses by index of their prompt."""

    kl_nats: float
    prompts: list[int]
    texts: list[str]


@torch.no_grad()
def measure_drift(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    policy: Adapters,
    reference: Adapters,
    settings: DpoSettings,
    generator: torch.Generator,
) -> Drift:
    """Sample `kl_samples` responses to random prompts and compare both policies on them."""
    chosen: list[int] = []
    while len(chosen) < settings.kl_samples:
        chosen += shuffled(len(prompts), generator)
    chosen = chosen[: settings.kl_samples]
    rollout = sample(
        model,
        [prompts[index] for index in chosen],
        adapters=policy,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        generator=generator,
        keep_branch=True,
    )
    summed = 0.0
    for rows in similar_rows(
        rollout.dialogues, torch.arange(len(chosen), device=model.device), 2 * settings.micro_batch
    ):
        dialogues, branch = rollout.dialogues.rows(rows), rollout.branch_B_T_D[rows]
        under = branch_under(model.decoder, dialogues, branch, reference)
        logprob = response_logprobs(model.decoder, dialogues, under, reference, temperature=settings.temperature)
        summed += float((k1(rollout.logprob_B_R[rows], logprob) * dialogues.response_mask_B_R).sum())
    texts = [model.decode(tokens) for tokens in rollout.responses()]
    return Drift(summed / len(chosen), chosen, texts)
