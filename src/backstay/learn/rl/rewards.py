"""From scorers to the one number a response that policy optimisation maximises."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backstay.errors import UsageError
from backstay.learn.batches import Dialogues
from backstay.learn.ensembles import combine, par
from backstay.learn.models.decoder import Decoder
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.rl.scorers import Scorer


@dataclass(frozen=True)
class References:
    """Scores of responses that the reference gave to the same prompts, one row a response; NaN fills shorter rows."""

    score_B_K: Tensor

    @property
    def mean_B(self) -> Tensor:
        """The prompt's baseline."""
        return self.score_B_K.nanmean(1)

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]], like: Tensor) -> "References":
        """Rows of unequal length; an empty one counts as a single 0."""
        width = max((len(row) for row in rows), default=1) or 1
        filled = [[*(row or [0.0])] for row in rows]
        return cls(like.new_tensor([[*row, *[float("nan")] * (width - len(row))] for row in filled]))


def split_references(
    given: Sequence[Sequence[Sequence[float]]] | None, prompts: int, trained_on: int, settings: PpoSettings
) -> tuple[list[list[float]], list[float]]:
    """Reference scores of each prompt as training sees them, and the mean of those of the members it never sees.

    `given` holds for each prompt, and each reference response, the score of every member; the first `trained_on`
    members are combined as a response's own scores are. Without any, one reference of 0 a prompt.
    """
    if given is None:
        return [[0.0]] * prompts, [0.0] * prompts
    seen, unseen = [], []
    for responses in given:
        score_M_K = torch.tensor([list(row) for row in responses], dtype=torch.float64).T
        seen.append(combine(score_M_K[:trained_on], settings.combine, settings.uncertainty_penalty).tolist())
        unseen.append(float(score_M_K[trained_on:].mean()) if len(score_M_K) > trained_on else 0.0)
    return seen, unseen


def score_all(scorers: Sequence[Scorer], decoder: Decoder, dialogues: Dialogues, branch_B_T_D: Tensor) -> Tensor:
    """Scores `[M, B]` of every scorer; an infinite one becomes NaN, which means that there is none."""
    rows = torch.stack([scorer(decoder, dialogues, branch_B_T_D) for scorer in scorers])
    if rows.shape[1] != len(dialogues.response_B):
        raise UsageError(f"a reward gave {rows.shape[1]} scores for {len(dialogues.response_B)} responses")
    return rows.masked_fill(rows.isinf(), float("nan"))


def shaped_score(raw_M_B: Tensor, finished_B: Tensor, references: References, settings: PpoSettings) -> Tensor:
    """The members' scores as one bounded number above the prompt's baseline, less the penalty for not ending, `[B]`."""
    score = combine(raw_M_B, settings.combine, settings.uncertainty_penalty)
    if settings.shaping == "par":
        bounded = par(score, references.score_B_K)
    else:
        bounded = score - references.mean_B
        if settings.reward_clip:
            bounded = bounded.clamp(-settings.reward_clip, settings.reward_clip)
    return bounded - settings.no_eos_penalty * (~finished_B)


def pessimistic_cost(cost_M_B: Tensor, settings: PpoSettings) -> Tensor:
    """Mean cost over members plus c deviations: what they disagree on counts as harm, `[B]`."""
    return -combine(-cost_M_B, "deviation", settings.uncertainty_penalty)


def require_scores(valid_B: Tensor, settings: PpoSettings) -> None:
    """Raise UsageError when more of a round has no score than the settings allow."""
    failed = 1 - float(valid_B.double().mean())
    if failed > settings.max_failed_share:
        raise UsageError(
            f"{failed:.0%} of a round's responses got no finite score; ppo.max_failed_share is "
            f"{settings.max_failed_share:.0%}",
            cure="look at the reward: a function that raises, a service that is down, a reward model with bad weights",
        )
