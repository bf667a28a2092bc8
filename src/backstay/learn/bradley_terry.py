"""The Bradley-Terry objective with soft labels and weights, and what an ensemble makes of its members."""

import torch
from torch import Tensor
from torch.nn import functional


def bradley_terry_loss(score_a: Tensor, score_b: Tensor, p_a: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of cross-entropies between P(a over b) = sigmoid(score_a - score_b) and the soft label `p_a`.

    Bradley and Terry 1952; soft labels as in Christiano et al. 2017, section 2.2.3. A weight of w counts as w copies
    of the pair when the caller divides by the sum of weights. At equal scores a label of 0.5 has no gradient.
    """
    losses = functional.binary_cross_entropy_with_logits(score_a - score_b, p_a, reduction="none")
    return (weight * losses).sum()


def conservative_score(score_M_B: Tensor, *, penalty: float) -> Tensor:
    """Mean over members minus `penalty` standard deviations: a lower confidence bound, after Coste et al. 2024.

    Their uncertainty-weighted objective subtracts the variance; the deviation keeps the penalty in reward units.
    """
    return score_M_B.mean(0) - penalty * spread(score_M_B)


def spread(score_M_B: Tensor) -> Tensor:
    """Standard deviation over members, 0 for a single one."""
    return score_M_B.std(0, unbiased=False)


def bootstrap_rows(count: int, generator: torch.Generator) -> Tensor:
    """Indices of a bootstrap sample: `count` draws with replacement."""
    return torch.randint(0, count, (count,), generator=generator)
