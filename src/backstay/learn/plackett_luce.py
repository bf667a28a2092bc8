"""The Plackett-Luce objective for rankings of K responses, with ties."""

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from math import comb

import torch
from torch import Tensor

MAX_TIED = 10
"""Responses in one tied group; the exact average runs over its 2 ** size subsets."""


def plackett_luce_loss(score_B_K: Tensor, sizes: Sequence[int], weight_B: Tensor) -> Tensor:
    """Weighted sum of -log P(ranking), over B rankings of the same shape.

    Columns stand best first; `sizes` are the sizes of the groups of equals, so (1, 2) is one winner above two that are
    tied. Without ties, P = prod_i exp(s_i) / sum_{j >= i} exp(s_j) (Plackett 1975; Luce 1959), which for K = 2 is
    Bradley-Terry. A tie is a soft label: the mean of -log P over every order of the tied group, as two tied responses
    have the label 0.5 (Christiano et al. 2017, section 2.2.3). With t tied responses above the worse ones R that mean
    is sum over nonempty subsets S of the group of logsumexp(S and R) / binomial(t, |S|), minus the group's scores: with
    k of them left to place, each subset of k is left equally often.

    Raises ValueError for sizes that do not add up to K, or a tied group of more than MAX_TIED.
    """
    if sum(sizes) != score_B_K.shape[1] or min(sizes, default=0) < 1:
        raise ValueError(f"groups of {tuple(sizes)} do not make up {score_B_K.shape[1]} responses")
    if max(sizes) > MAX_TIED:
        raise ValueError(f"{max(sizes)} responses in one tied group; at most {MAX_TIED} can be averaged over exactly")
    left, share = _choices(tuple(sizes))
    left_T_K = torch.tensor(left, device=score_B_K.device)
    share_T = score_B_K.new_tensor(share)
    among_B_T = score_B_K[:, None].masked_fill(~left_T_K, float("-inf")).logsumexp(-1)
    return (weight_B * ((among_B_T * share_T).sum(1) - score_B_K.sum(1))).sum()


@cache
def _choices(sizes: tuple[int, ...]) -> tuple[list[list[bool]], list[float]]:
    """Every set of columns that one may still be chosen from, and how often that choice is made."""
    total, start = sum(sizes), 0
    left, share = [], []
    for size in sizes:
        group = range(start, start + size)
        start += size
        for count in range(1, size + 1):
            for subset in combinations(group, count):
                left.append([column in subset or column >= start for column in range(total)])
                share.append(1 / comb(size, count))
    return left, share
