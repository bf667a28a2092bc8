"""PPO's losses as sums over tokens, so that the caller divides by the token count of the whole optimizer step.

A mean of micro-batch means would weigh tokens of short micro-batches more; sums over a global count do not.
"""

import torch
from torch import Tensor

LOG_RATIO_LIMIT = 20.0


def ratio(logprob: Tensor, old_logprob: Tensor) -> Tensor:
    """Probability ratio of new to old policy a token, with the log-ratio bounded to +-20 before exp."""
    return (logprob - old_logprob).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def clipped_policy_loss(
    logprob: Tensor, old_logprob: Tensor, advantage: Tensor, mask: Tensor, *, clip: float
) -> Tensor:
    """Sum over real tokens of -min(r A, clip(r) A) (Schulman et al. 2017, equation 7)."""
    r = ratio(logprob, old_logprob)
    worse = torch.maximum(-advantage * r, -advantage * r.clamp(1 - clip, 1 + clip))
    return (worse * mask).sum()


def clip_fraction(logprob: Tensor, old_logprob: Tensor, mask: Tensor, *, clip: float) -> Tensor:
    """Number of real tokens whose ratio lies outside the clip range."""
    return (((ratio(logprob, old_logprob) - 1).abs() > clip) & mask.bool()).sum()


def clipped_value_loss(value: Tensor, old_value: Tensor, returned: Tensor, mask: Tensor, *, clip: float) -> Tensor:
    """Sum over real tokens of half the worse squared error of the value and the clipped value; clip 0 = plain."""
    error = (value - returned).square()
    if clip > 0:
        near = old_value + (value - old_value).clamp(-clip, clip)
        error = torch.maximum(error, (near - returned).square())
    return (error * mask).sum() / 2
