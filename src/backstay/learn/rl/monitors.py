"""What to watch while a policy chases a reward: each monitor is one number a round."""

from collections import Counter
from collections.abc import Sequence

import torch
from scipy.stats import f as f_distribution
from torch import Tensor, nn

DIRECTIONS = 8
ENOUGH_ROWS = 4
CONFIDENCE = 0.99


def repetition(tokens: Sequence[int], n: int = 3) -> float:
    """Share of a response's n-grams that it has had before; 0 for one of fewer than n + 1 tokens."""
    grams = Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
    total = sum(grams.values())
    return 1 - len(grams) / total if total > 1 else 0.0


class Novelty(nn.Module):
    """How many responses lie where the reference's hardly ever do, in the latent space that rewards are read from.

    The idea is that of InfoRM (Miao et al. 2024, section 5): hacked responses are outliers there. Here: the states of
    the first n responses are brought to their k leading principal directions; a response is an outlier when its
    squared Mahalanobis distance passes the 99 % point of a new draw from the same normal distribution,
    k (n^2 - 1) / (n (n - k)) F(k, n - k) (Hotelling 1931). Before `fit`, and after one on too few rows, nothing is an
    outlier.
    """

    mean: Tensor
    directions: Tensor
    deviation: Tensor
    limit: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("directions", torch.zeros(width, DIRECTIONS, dtype=torch.float64))
        self.register_buffer("deviation", torch.ones(DIRECTIONS, dtype=torch.float64))
        self.register_buffer("limit", torch.full((), float("inf"), dtype=torch.float64))

    @torch.no_grad()
    def fit(self, states_N_F: Tensor) -> None:
        """Take the reference's states; fewer than 4 rows a direction are too few, and leave the monitor off."""
        states = states_N_F.double().to(self.mean.device)
        n, k = len(states), DIRECTIONS
        if n < ENOUGH_ROWS * k or states.shape[1] < k:
            return
        self.mean.copy_(states.mean(0))
        _, singular, right = torch.linalg.svd(states - self.mean, full_matrices=False)
        self.directions.copy_(right[:k].T)
        self.deviation.copy_((singular[:k] / (n - 1) ** 0.5).clamp(min=1e-12))
        self.limit.fill_(k * (n * n - 1) / (n * (n - k)) * float(f_distribution.ppf(CONFIDENCE, k, n - k)))

    @torch.no_grad()
    def share(self, states_N_F: Tensor) -> float:
        """Share of rows beyond the limit; for the reference about 0.01, less where many directions vary alike."""
        along = (states_N_F.double().to(self.mean.device) - self.mean) @ self.directions / self.deviation
        return float((along.square().sum(1) > self.limit).double().mean())
