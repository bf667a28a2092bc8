"""Token rewards and generalised advantage estimation over ragged responses. B responses, R token columns."""

import torch
from torch import Tensor


def token_rewards(
    score_B: Tensor, kl_B_R: Tensor, mask_B_R: Tensor, length_B: Tensor, *, kl_coefficient: float
) -> Tensor:
    """-coefficient * KL at every response token, plus the score at the last one (Ziegler et al. 2019, equation 2)."""
    rewards = -kl_coefficient * kl_B_R * mask_B_R
    last = (length_B - 1).clamp(min=0)[:, None]
    return rewards.scatter_add(1, last, score_B.to(rewards.dtype)[:, None])


def gae(
    reward_B_R: Tensor, value_B_R1: Tensor, length_B: Tensor, finished_B: Tensor, *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Advantages and returns `[B, R]` (Schulman et al. 2016, equation 16), zero beyond each response.

    `value_B_R1[:, t]` is the value of the state before token t; column `length` holds the state after the last token,
    which counts only for a truncated response: a finished one is worth nothing beyond its end.
    """
    columns = reward_B_R.shape[1]
    after_last = torch.arange(1, columns + 1, device=reward_B_R.device)[None] == length_B[:, None]
    inside = torch.arange(columns, device=reward_B_R.device)[None] < length_B[:, None]
    following = value_B_R1[:, 1:].masked_fill(after_last & finished_B[:, None], 0.0)
    error = (reward_B_R + gamma * following - value_B_R1[:, :-1]) * inside
    advantage = torch.zeros_like(error)
    running = torch.zeros_like(error[:, 0])
    for t in reversed(range(columns)):
        running = error[:, t] + gamma * lam * running
        advantage[:, t] = running
    return advantage, (advantage + value_B_R1[:, :-1]) * inside


def whiten(x_B_R: Tensor, mask_B_R: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the real tokens of the whole batch, zero elsewhere."""
    count = mask_B_R.sum().clamp(min=1)
    mean = (x_B_R * mask_B_R).sum() / count
    variance = ((x_B_R - mean).square() * mask_B_R).sum() / count
    return (x_B_R - mean) * (variance + 1e-8).rsqrt() * mask_B_R


def explained_variance(value_B_R: Tensor, return_B_R: Tensor, mask_B_R: Tensor) -> float:
    """1 - Var(return - value) / Var(return) over real tokens; 1 is perfect, 0 no better than a constant."""
    returned, error = return_B_R[mask_B_R], (return_B_R - value_B_R)[mask_B_R]
    spread = returned.var(unbiased=False)
    return float(1 - error.var(unbiased=False) / spread) if float(spread) > 0 else 0.0
