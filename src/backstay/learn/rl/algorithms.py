"""The on-policy algorithms: which advantage, with a critic or with groups, and at which level the ratio counts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from backstay.learn.advantage import (
    gae,
    group_standardised,
    leave_one_out,
    rewards_to_go,
    token_rewards,
    whiten,
)
from backstay.learn.policy_loss import Level


@dataclass(frozen=True)
class Signal:
    """What an estimator works from. B responses, R columns, one column more for values.

    `score_B` at the last token, `penalty_B_R` a token (already times its coefficient, subtracted); rows that are not
    `valid_B` have no score and take no part. `value_B_R1` is None without a critic.
    """

    score_B: Tensor
    penalty_B_R: Tensor
    mask_B_R: Tensor
    length_B: Tensor
    finished_B: Tensor
    valid_B: Tensor
    value_B_R1: Tensor | None
    group: int
    gamma: float
    lam: float

    @property
    def learned_B_R(self) -> Tensor:
        """Real tokens of valid rows."""
        return self.mask_B_R & self.valid_B[:, None]

    @property
    def reward_B_R(self) -> Tensor:
        """The score at the last token of each response, less the penalty of each token."""
        return token_rewards(self.score_B, self.penalty_B_R, self.mask_B_R, self.length_B, kl_coefficient=1.0)

    @property
    def total_B(self) -> Tensor:
        """The whole response's reward."""
        return self.score_B - (self.penalty_B_R * self.mask_B_R).sum(1)


@dataclass(frozen=True)
class Estimate:
    """Advantages `[B, R]` before any whitening, and what a critic should have said, `[B, R]`."""

    advantage_B_R: Tensor
    return_B_R: Tensor


Estimator = Callable[[Signal], Estimate]


def _critic(signal: Signal) -> Estimate:
    if signal.value_B_R1 is None:
        raise ValueError("an algorithm with a critic needs values")
    advantage, returned = gae(
        signal.reward_B_R,
        signal.value_B_R1,
        signal.length_B,
        signal.finished_B,
        gamma=signal.gamma,
        lam=signal.lam,
    )
    return Estimate(advantage, returned)


def _repeated(advantage_B: Tensor, signal: Signal) -> Estimate:
    advantage = advantage_B[:, None] * signal.learned_B_R
    return Estimate(advantage, torch.zeros_like(advantage))


def _leave_one_out(signal: Signal) -> Estimate:
    return _repeated(leave_one_out(signal.total_B, signal.valid_B, signal.group), signal)


def _group_standardised(signal: Signal) -> Estimate:
    return _repeated(group_standardised(signal.total_B, signal.valid_B, signal.group), signal)


def _rewards_to_go(signal: Signal) -> Estimate:
    advantage = rewards_to_go(signal.reward_B_R, signal.learned_B_R, gamma=signal.gamma)
    return Estimate(advantage, torch.zeros_like(advantage))


@dataclass(frozen=True)
class Algorithm:
    """One on-policy algorithm. `ratio` and `average` are the levels at which the paper defines its loss.

    `critic`: learns values. `grouped`: compares responses to the same prompt. `whitened`: advantages have mean 0 and
    variance 1 over the round.
    """

    name: str
    source: str
    estimate: Estimator
    critic: bool
    grouped: bool
    whitened: bool
    ratio: Level
    average: Level

    def advantages(self, estimate: Estimate, learned_B_R: Tensor) -> Tensor:
        """The advantages that the loss sees, `[B, R]`, zero where nothing is learned."""
        return whiten(estimate.advantage_B_R, learned_B_R) if self.whitened else estimate.advantage_B_R * learned_B_R


Name = Literal["ppo", "rloo", "grpo", "reinforce++"]

ALGORITHMS: Mapping[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("ppo", "Schulman et al. 2017", _critic, True, False, True, "token", "token"),
        Algorithm("rloo", "Ahmadian et al. 2024", _leave_one_out, False, True, False, "response", "response"),
        Algorithm("grpo", "Shao et al. 2024", _group_standardised, False, True, False, "token", "response"),
        Algorithm("reinforce++", "Hu et al. 2025", _rewards_to_go, False, False, True, "token", "token"),
    )
}
