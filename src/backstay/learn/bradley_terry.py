"""The Bradley-Terry objective with soft labels, weights, margins and label smoothing."""

import torch
from torch import Tensor
from torch.nn import functional


def bradley_terry_loss(
    score_a: Tensor,
    score_b: Tensor,
    p_a: Tensor,
    weight: Tensor,
    *,
    margin: float | Tensor = 0.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Weighted sum of cross-entropies between P(a over b) = sigmoid(score_a - score_b) and the soft label `p_a`.

    Bradley and Terry 1952; soft labels as in Christiano et al. 2017, section 2.2.3. A weight of w counts as w copies
    of the pair when the caller divides by the sum of weights. At equal scores a label of 0.5 has no gradient.

    `margin` (Touvron et al. 2023, equation 2; a number or one a pair) is what the better response must lead by before
    the probability counts: with a hard label the loss is -log sigmoid(lead - margin). A soft label asks for
    margin * (2 p_a - 1) = margin * tanh(logit(p_a) / 2): less the less sure it is, nothing at 0.5.
    `label_smoothing` e replaces the label by (1 - e) p_a + e / 2 (Szegedy et al. 2016, section 7): a chance of e / 2
    that the label is the wrong way round. The margin is taken from the label before smoothing.
    """
    lead = score_a - score_b - margin * (2 * p_a - 1)
    smoothed = (1 - label_smoothing) * p_a + label_smoothing / 2
    losses = functional.binary_cross_entropy_with_logits(lead, smoothed, reduction="none")
    return (weight * losses).sum()


def bootstrap_rows(count: int, generator: torch.Generator) -> Tensor:
    """Indices of a bootstrap sample: `count` draws with replacement."""
    return torch.randint(0, count, (count,), generator=generator)
