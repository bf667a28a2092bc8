"""One round of experience: responses, scores, log-probabilities, values, advantages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from backstay.learn.batches import similar_rows
from backstay.learn.decoding import Rollout, sample
from backstay.learn.ensembles import spread
from backstay.learn.kl import k1
from backstay.learn.models.decoder import Adapters, Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import branch_under, response_logprobs
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.rl.algorithms import ALGORITHMS, Estimate, Signal
from backstay.learn.rl.critics import Critic
from backstay.learn.rl.lagrangian import weigh
from backstay.learn.rl.rewards import References, pessimistic_cost, score_all, shaped_score
from backstay.learn.rl.scorers import Scorer

REWARD, COST = "value", "cost_value"


@dataclass(frozen=True)
class Actors:
    """Everything that a round asks and none of which learns in it.

    `scoring` is the decoder that rewards, costs and critics run on where it is not the policy's own: the base without
    what was folded into the policy's.
    """

    model: LanguageModel
    policy: Adapters
    reference: Adapters
    members: Sequence[Scorer]
    scoring: Decoder
    costs: Sequence[Scorer] = ()
    critics: Mapping[str, Critic] = field(default_factory=dict)


@dataclass(frozen=True)
class Values:
    """What a critic said of a round, `[B, R + 1]`, and what it should have said, `[B, R]`."""

    value_B_R1: Tensor
    return_B_R: Tensor


@dataclass(frozen=True)
class Experience:
    """What the policy learns from, all without gradients. B responses, R columns.

    `raw_M_B` and `cost_M_B` are what the scorers said; a response without a score from each of them, or whose scores
    together overflow, is not `valid_B`.
    """

    rollout: Rollout
    reference_B_R: Tensor
    raw_M_B: Tensor
    cost_M_B: Tensor
    score_B: Tensor
    valid_B: Tensor
    kl_B_R: Tensor
    advantage_B_R: Tensor
    values: Mapping[str, Values]

    @property
    def mask_B_R(self) -> Tensor:
        """True at real response tokens."""
        return self.rollout.dialogues.response_mask_B_R

    @property
    def learned_B_R(self) -> Tensor:
        """True at the tokens that are learned from: those of responses that have a score."""
        return self.mask_B_R & self.valid_B[:, None]

    @property
    def kl_nats(self) -> float:
        """Mean over responses of the summed k1 estimate, in nats a response."""
        return float(self.kl_B_R.sum(1).mean())

    @property
    def spread_B(self) -> Tensor:
        """Standard deviation over members."""
        return spread(self.raw_M_B)


@torch.no_grad()
def collect(
    actors: Actors,
    prompts: Sequence[Sequence[int]],
    *,
    references: Sequence[Sequence[float]],
    settings: PpoSettings,
    kl_coefficient: float,
    multiplier: float = 0.0,
    generator: torch.Generator,
) -> Experience:
    """Sample one response a prompt and work out all that the losses need.

    `references` are scores of reference responses to each prompt, whose mean is subtracted: Bradley-Terry scores are
    known only up to a constant a prompt, and what does not depend on the response changes the variance of the policy
    gradient, not its mean. `multiplier` is the price of cost; it matters only with costs.
    """
    rollout = sample(
        actors.model,
        prompts,
        adapters=actors.policy,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        generator=generator,
        keep_branch=True,
    )
    reference_B_R, raw_M_B, cost_M_B = _scored(actors, rollout, settings)
    mask = rollout.dialogues.response_mask_B_R
    kl = k1(rollout.logprob_B_R, reference_B_R) * mask
    score = shaped_score(raw_M_B, rollout.finished_B, References.of(references, raw_M_B), settings)
    cost = pessimistic_cost(cost_M_B, settings) if len(cost_M_B) else None
    valid_B = score.isfinite() & ~raw_M_B.isnan().any(0) & ~cost_M_B.isnan().any(0)
    score = score.masked_fill(~valid_B, 0.0)
    cost = None if cost is None else cost.masked_fill(~valid_B, 0.0)
    penalty = kl * kl_coefficient if settings.kl_in == "reward" else torch.zeros_like(kl)
    values = _values(actors, rollout, settings)
    advantage, learned = _advantages(rollout, score, cost, penalty, valid_B, values, settings, multiplier)
    return Experience(
        rollout=rollout,
        reference_B_R=reference_B_R,
        raw_M_B=raw_M_B,
        cost_M_B=cost_M_B,
        score_B=score,
        valid_B=valid_B,
        kl_B_R=kl,
        advantage_B_R=advantage,
        values=learned,
    )


def _advantages(
    rollout: Rollout,
    score_B: Tensor,
    cost_B: Tensor | None,
    penalty_B_R: Tensor,
    valid_B: Tensor,
    values: Mapping[str, Tensor],
    settings: PpoSettings,
    multiplier: float,
) -> tuple[Tensor, dict[str, Values]]:
    """Advantages and the critics' targets.

    Under a constraint a critic for each of reward and cost gives (A_r - lambda A_c) / (1 + lambda), where the KL
    penalty lies on both with opposite signs, so that lambda leaves its weight alone. Without critics the scores
    themselves are weighed.
    """
    algorithm = ALGORITHMS[settings.algorithm]

    def estimate(score: Tensor, penalty: Tensor, critic: str) -> tuple[Estimate, Tensor]:
        dialogues = rollout.dialogues
        signal = Signal(
            score_B=score,
            penalty_B_R=penalty,
            mask_B_R=dialogues.response_mask_B_R,
            length_B=dialogues.response_B,
            finished_B=rollout.finished_B,
            valid_B=valid_B,
            value_B_R1=values.get(critic),
            group=settings.group,
            gamma=settings.gamma,
            lam=settings.lam,
        )
        return algorithm.estimate(signal), signal.learned_B_R

    if cost_B is not None and not algorithm.critic:
        score_B = weigh(score_B, cost_B, multiplier)
    estimated, learned_B_R = estimate(score_B, penalty_B_R, REWARD)
    targets = {REWARD: estimated.return_B_R}
    if cost_B is not None and algorithm.critic:
        costly, _ = estimate(cost_B, -penalty_B_R, COST)
        targets[COST] = costly.return_B_R
        both = weigh(estimated.advantage_B_R, costly.advantage_B_R, multiplier)
        estimated = Estimate(both, estimated.return_B_R)
    known = {name: Values(values[name], targets[name]) for name in values}
    return algorithm.advantages(estimated, learned_B_R), known


def _values(actors: Actors, rollout: Rollout, settings: PpoSettings) -> dict[str, Tensor]:
    """Values `[B, R + 1]` of every critic, in micro-batches."""
    if not actors.critics:
        return {}
    groups = _micro_batches(rollout, settings)
    found: dict[str, list[Tensor]] = {name: [] for name in actors.critics}
    for rows in groups:
        dialogues = rollout.dialogues.rows(rows)
        branch = branch_under(actors.scoring, dialogues, rollout.branch_B_T_D[rows], ())
        for name, critic in actors.critics.items():
            found[name].append(critic(actors.scoring, dialogues, branch))
    back = torch.argsort(torch.cat(groups))
    return {name: torch.cat(parts)[back] for name, parts in found.items()}


def _scored(actors: Actors, rollout: Rollout, settings: PpoSettings) -> tuple[Tensor, Tensor, Tensor]:
    """Reference log-probabilities `[B, R]`, rewards `[M, B]` and costs `[C, B]`, in micro-batches."""
    decoder = actors.model.decoder
    groups = _micro_batches(rollout, settings)
    logprobs, scores, costs = [], [], []
    for rows in groups:
        dialogues, branch = rollout.dialogues.rows(rows), rollout.branch_B_T_D[rows]
        under = branch_under(decoder, dialogues, branch, actors.reference)
        logprobs.append(
            response_logprobs(decoder, dialogues, under, actors.reference, temperature=settings.temperature)
        )
        base = branch_under(actors.scoring, dialogues, branch, ())
        scores.append(score_all(actors.members, actors.scoring, dialogues, base))
        if actors.costs:
            costs.append(score_all(actors.costs, actors.scoring, dialogues, base))
    back = torch.argsort(torch.cat(groups))
    cost_M_B = torch.cat(costs, 1)[:, back] if costs else scores[0].new_zeros(0, len(back))
    return torch.cat(logprobs)[back], torch.cat(scores, 1)[:, back], cost_M_B


def _micro_batches(rollout: Rollout, settings: PpoSettings) -> list[Tensor]:
    everyone = torch.arange(len(rollout.finished_B), device=rollout.finished_B.device)
    return similar_rows(rollout.dialogues, everyone, settings.micro_batch)
