"""Token rewards and estimators of the advantage over ragged responses. B responses, R token columns."""

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
    x_B_R = x_B_R.masked_fill(~mask_B_R.bool(), 0.0)
    count = mask_B_R.sum().clamp(min=1)
    mean = (x_B_R * mask_B_R).sum() / count
    variance = ((x_B_R - mean).square() * mask_B_R).sum() / count
    return (x_B_R - mean) * (variance + 1e-8).rsqrt() * mask_B_R


def explained_variance(value_B_R: Tensor, return_B_R: Tensor, mask_B_R: Tensor) -> float:
    """1 - Var(return - value) / Var(return) over real tokens; 1 is perfect, 0 no better than a constant."""
    if not mask_B_R.any():
        return 0.0
    returned, error = return_B_R[mask_B_R], (return_B_R - value_B_R)[mask_B_R]
    spread = returned.var(unbiased=False)
    return float(1 - error.var(unbiased=False) / spread) if float(spread) > 0 else 0.0


def rewards_to_go(reward_B_R: Tensor, mask_B_R: Tensor, *, gamma: float) -> Tensor:
    """Discounted sum of the rewards from each token on, `[B, R]`, zero beyond each response."""
    masked = reward_B_R * mask_B_R
    running = torch.zeros_like(masked[:, 0])
    sums = torch.zeros_like(masked)
    for t in reversed(range(masked.shape[1])):
        running = masked[:, t] + gamma * running
        sums[:, t] = running
    return sums * mask_B_R


def leave_one_out(total_B: Tensor, valid_B: Tensor, group: int) -> Tensor:
    """Reward of a response less the mean of the others to its prompt (Ahmadian et al. 2024, equation 8), `[B]`.

    Rows `i * group` to `(i + 1) * group - 1` answer the same prompt. Rows that are not valid count for nobody; where
    only one is left there is nothing to compare, and its advantage is 0.
    """
    total, valid = total_B.view(-1, group), valid_B.view(-1, group)
    known = total.masked_fill(~valid, 0.0)
    others = valid.sum(1, keepdim=True) - 1
    mean = (known.sum(1, keepdim=True) - known) / others.clamp(min=1)
    return (known - mean).masked_fill(~valid | (others < 1), 0.0).view(-1)


def group_standardised(total_B: Tensor, valid_B: Tensor, group: int, *, epsilon: float = 1e-4) -> Tensor:
    """(Reward - mean) / (deviation + epsilon) within a prompt's responses (Shao et al. 2024, section 4.1.2), `[B]`.

    The deviation is the sample's own (n - 1). Rows as in `leave_one_out`.
    """
    total, valid = total_B.view(-1, group), valid_B.view(-1, group)
    count = valid.sum(1, keepdim=True)
    known = total.masked_fill(~valid, 0.0)
    centred = (known - known.sum(1, keepdim=True) / count.clamp(min=1)).masked_fill(~valid, 0.0)
    deviation = (centred.square().sum(1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return (centred / (deviation + epsilon)).masked_fill(count < 2, 0.0).view(-1)
