"""How much a score follows the length of a response, and the slope that takes it out."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor


def log_length(length: Tensor) -> Tensor:
    """log(1 + tokens): the first ten tokens of a response say more than its last ten."""
    return torch.log1p(length.double())


def length_slope(score_N: Tensor, length_N: Tensor, prompt_of: Sequence[int]) -> float:
    """Robust slope of score on log(1 + tokens) between responses to one prompt.

    Only differences within a prompt are used, since scores are known up to a constant a prompt. The slope b minimises
    sum |dy - b dx| over all such pairs (Jaeckel 1972), so it is a median of dy / dx weighted by |dx|, which a few odd
    responses do not move. 0 when no two responses to a prompt differ in length.
    """
    first, second = _pairs_within(prompt_of)
    x = log_length(length_N).cpu()
    dx, dy = x[first] - x[second], score_N.double().cpu()[first] - score_N.double().cpu()[second]
    usable = dx != 0
    if not usable.any():
        return 0.0
    slope, order = (dy[usable] / dx[usable]).sort()
    mass = dx[usable].abs()[order].cumsum(0)
    return float(slope[torch.searchsorted(mass, mass[-1] / 2)])


def length_correlation(score_N: Tensor, length_N: Tensor, prompt_of: Sequence[int]) -> float | None:
    """Pearson correlation of score and log(1 + tokens), each less its prompt's mean; None when either never varies."""
    group = torch.tensor(prompt_of, dtype=torch.long)
    x, y = _centred(log_length(length_N).cpu(), group), _centred(score_N.double().cpu(), group)
    scale = float(x.norm() * y.norm())
    return float(x @ y) / scale if scale > 1e-12 else None


def _centred(value_N: Tensor, group_N: Tensor) -> Tensor:
    size = int(group_N.max()) + 1 if len(group_N) else 0
    count = torch.zeros(size, dtype=value_N.dtype).index_add_(0, group_N, torch.ones_like(value_N))
    total = torch.zeros(size, dtype=value_N.dtype).index_add_(0, group_N, value_N)
    return value_N - (total / count.clamp(min=1))[group_N]


def _pairs_within(prompt_of: Sequence[int]) -> tuple[Tensor, Tensor]:
    rows_of: dict[int, list[int]] = {}
    for row, prompt in enumerate(prompt_of):
        rows_of.setdefault(prompt, []).append(row)
    pairs = [pair for rows in rows_of.values() for pair in combinations(rows, 2)]
    both = torch.tensor(pairs, dtype=torch.long).view(-1, 2)
    return both[:, 0], both[:, 1]
