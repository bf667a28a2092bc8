"""What to watch while a policy chases a reward: each monitor is one number a round."""

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

ENOUGH_ROWS = 16
CONFIDENCE = 0.99


def repetition(tokens: Sequence[int], n: int = 3) -> float:
    """Share of a response's n-grams that it has had before; 0 for one of fewer than n + 1 tokens."""
    grams = Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
    total = sum(grams.values())
    return 1 - len(grams) / total if total > 1 else 0.0


class Novelty(nn.Module):
    """How many responses lie where the reference's hardly ever do, in the latent space that rewards are read from.

    The idea is that of InfoRM (Miao et al. 2024, section 5): hacked responses are outliers there. Here a response is an
    outlier when it is farther from every reference response than all but 1 % of those are from their nearest other
    one: a conformal test (Vovk et al. 2005, section 2.2), which asks nothing of the distribution. With n reference
    responses a new one from the same source is an outlier with a chance of about max(0.01, 1 / (n + 1)). Before `fit`,
    and after one on too few rows, nothing is an outlier.
    """

    reference: Tensor
    limit: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.register_buffer("reference", torch.zeros(rows, width))
        self.register_buffer("limit", torch.full((), float("inf"), dtype=torch.float64))

    @torch.no_grad()
    def fit(self, states_N_F: Tensor) -> None:
        """Take the reference's states, as many rows as there is room for; fewer than 16 leave the monitor off."""
        if len(states_N_F) < ENOUGH_ROWS or len(states_N_F) < len(self.reference):
            return
        self.reference.copy_(states_N_F[: len(self.reference)])
        apart = _distances(self.reference, self.reference).fill_diagonal_(float("inf"))
        nearest = apart.amin(1).sort().values
        rank = min(math.ceil(CONFIDENCE * (len(nearest) + 1)), len(nearest))
        self.limit.copy_(nearest[rank - 1])

    @torch.no_grad()
    def outliers(self, states_N_F: Tensor) -> Tensor:
        """Which rows are farther from every reference row than the limit, `[N]`."""
        return _distances(states_N_F, self.reference).amin(1) > self.limit

    def share(self, states_N_F: Tensor) -> float:
        """Share of outliers among some rows."""
        return float(self.outliers(states_N_F).double().mean())


def _distances(a_N_F: Tensor, b_M_F: Tensor) -> Tensor:
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(a_N_F.to(b_M_F.device).double(), b_M_F.double(), compute_mode=exact)
