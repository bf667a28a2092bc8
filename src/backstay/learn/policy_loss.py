"""Losses of policy gradient methods a token, and the weights that add them up to one loss of an optimizer step.

Weights are shares of the whole optimizer step, never of a micro-batch: a mean of micro-batch means would weigh tokens
of short micro-batches more, and the gradient would depend on how the step is split.
"""

from typing import Literal

import torch
from torch import Tensor

LOG_RATIO_LIMIT = 20.0
Level = Literal["token", "response"]


def ratio(logprob: Tensor, old_logprob: Tensor) -> Tensor:
    """Probability ratio of new to old policy a token, with the log-ratio bounded to +-20 before exp."""
    return (logprob - old_logprob).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def response_ratio(logprob_B_R: Tensor, old_logprob_B_R: Tensor, mask_B_R: Tensor) -> Tensor:
    """Ratio of the whole response's probability, repeated at each of its tokens: the response is one action."""
    log_ratio = ((logprob_B_R - old_logprob_B_R) * mask_B_R).sum(1, keepdim=True)
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp().expand_as(logprob_B_R)


def clipped_policy_loss(ratio_B_R: Tensor, advantage_B_R: Tensor, *, clip: float, dual_clip: float = 0.0) -> Tensor:
    """-min(r A, clip(r) A) at every token, `[B, R]` (Schulman et al. 2017, equation 7).

    `dual_clip` c > 1 bounds the loss of negative advantages to -c A (Ye et al. 2020, equation 5); 0 = off.
    """
    worse = torch.maximum(-advantage_B_R * ratio_B_R, -advantage_B_R * ratio_B_R.clamp(1 - clip, 1 + clip))
    if dual_clip == 0:
        return worse
    return torch.where(advantage_B_R < 0, torch.minimum(worse, -dual_clip * advantage_B_R), worse)


def clip_fraction(ratio_B_R: Tensor, mask_B_R: Tensor, *, clip: float) -> Tensor:
    """Number of real tokens whose ratio lies outside the clip range."""
    return (((ratio_B_R - 1).abs() > clip) & mask_B_R.bool()).sum()


def clipped_value_loss(value: Tensor, old_value: Tensor, returned: Tensor, *, clip: float) -> Tensor:
    """Half the worse squared error of the value and the clipped value, at every token; clip 0 = plain."""
    error = (value - returned).square()
    if clip > 0:
        near = old_value + (value - old_value).clamp(-clip, clip)
        error = torch.maximum(error, (near - returned).square())
    return error / 2


def token_weights(mask_B_R: Tensor, level: Level) -> Tensor:
    """What each token counts in the loss of the step whose learning mask this is; all weights together are 1.

    `token`: all real tokens alike. `response`: all responses alike, split evenly over the tokens of each
    (Shao et al. 2024, equation 3). A mask without any token gives zeros.
    """
    mask = mask_B_R.double()
    if level == "token":
        return mask / mask.sum().clamp(min=1)
    length = mask.sum(1, keepdim=True)
    return mask / length.clamp(min=1) / (length > 0).sum().clamp(min=1)
