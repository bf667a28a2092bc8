"""Losses of offline preference learning, one number a pair (or a response); the caller weighs, sums and divides.

A log-ratio is log p_policy(response) - log p_reference(response), summed over response tokens unless said otherwise;
`p_a` is the probability that response a is better than b, 1 for a hard label. With w the pairs' weights and the sum
divided by their total, a weight of w counts as w copies of the pair.
"""

from torch import Tensor
from torch.nn import functional


def dpo_loss(log_ratio_a: Tensor, log_ratio_b: Tensor, p_a: Tensor, *, beta: float, margin: float = 0.0) -> Tensor:
    """Cross-entropy between `p_a` and sigmoid(beta * (log_ratio_a - log_ratio_b)).

    Rafailov et al. 2023, equation 7, with the soft label of Mitchell 2023 ("A note on DPO with noisy preferences") in
    place of 1. Log 2 where policy and reference agree; a label of 0.5 has no gradient there. `margin` is subtracted
    from the lead of whichever side a label speaks for (the offset of Amini et al. 2024, equation 4).
    """
    lead = beta * (log_ratio_a - log_ratio_b)
    return -p_a * functional.logsigmoid(lead - margin) - (1 - p_a) * functional.logsigmoid(-lead - margin)


def cdpo_loss(
    log_ratio_a: Tensor, log_ratio_b: Tensor, p_a: Tensor, *, beta: float, flip_rate: float, margin: float = 0.0
) -> Tensor:
    """Conservative DPO (Mitchell 2023): DPO against the label that remains when a share of the labels is flipped."""
    return dpo_loss(log_ratio_a, log_ratio_b, smoothed_label(p_a, flip_rate), beta=beta, margin=margin)


def robust_dpo_loss(
    log_ratio_a: Tensor, log_ratio_b: Tensor, p_a: Tensor, *, beta: float, flip_rate: float, margin: float = 0.0
) -> Tensor:
    """Robust DPO (Chowdhury et al. 2024, equation 12): its mean over random flips is the DPO loss of clean labels.

    For a clear label the weight of the other side is negative, so the loss has no lower bound: watch KL.
    """
    return dpo_loss(log_ratio_a, log_ratio_b, unbiased_label(p_a, flip_rate), beta=beta, margin=margin)


def smoothed_label(p_a: Tensor, flip_rate: float) -> Tensor:
    """What a label becomes on average when each is flipped with probability `flip_rate`."""
    return (1 - flip_rate) * p_a + flip_rate * (1 - p_a)


def unbiased_label(p_a: Tensor, flip_rate: float) -> Tensor:
    """The inverse of `smoothed_label`; beyond 0 and 1 for a clear label. `flip_rate` below one half."""
    return (p_a - flip_rate) / (1 - 2 * flip_rate)


def ipo_loss(mean_log_ratio_a: Tensor, mean_log_ratio_b: Tensor, p_a: Tensor, *, beta: float) -> Tensor:
    """Squared distance of the log-ratio difference to +-1 / (2 beta), each side with its probability.

    Azar et al. 2024, equation 17, whose expectation over a Bernoulli label is the same with `p_a`. The paper writes
    log-ratios of whole responses; here they are means a token, which its authors confirmed to the makers of TRL to be
    what the reported results used, and which keeps the target's meaning the same for short and long responses.
    1 / (4 beta^2) where policy and reference agree.
    """
    difference, target = mean_log_ratio_a - mean_log_ratio_b, 1 / (2 * beta)
    return p_a * (difference - target).square() + (1 - p_a) * (difference + target).square()


def kto_loss(
    log_ratio: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Loss of single responses that are desirable or not (Ethayarajh et al. 2024, equation 8).

    weight * (1 - sigmoid(beta * (log_ratio - z))) for a desirable response, with the sign turned for another; z is the
    `reference_point`. Half the weight where policy and reference agree.
    """
    gain = beta * (log_ratio - reference_point)
    wanted, unwanted = functional.sigmoid(-gain), functional.sigmoid(gain)
    return (desirable_weight * wanted).where(desirable, undesirable_weight * unwanted)


def kto_reference_point(mismatched_log_ratio: Tensor, weight: Tensor) -> Tensor:
    """The z of KTO: weighted mean log-ratio of responses to prompts that are not theirs, at least 0, without gradient.

    Section 4.1 of Ethayarajh et al. 2024; the paper's mean has equal weights, which is what equal weights give here.
    """
    mean = (weight * mismatched_log_ratio.detach()).sum() / weight.sum().clamp(min=1e-8)
    return mean.clamp(min=0)
