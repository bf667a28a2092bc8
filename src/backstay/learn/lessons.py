"""What reward and cost models learn from: comparisons, rankings, and absolute labels, on rows of `BranchStates`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

import torch
from torch import Tensor
from torch.nn import functional

from backstay.learn.bradley_terry import bradley_terry_loss
from backstay.learn.plackett_luce import plackett_luce_loss


@dataclass(frozen=True)
class Comparison:
    """Two responses by their row of `BranchStates`, the probability that `a` is better, and the pair's weight."""

    a: int
    b: int
    p_a: float
    weight: float


@dataclass(frozen=True)
class Ranking:
    """Rows best first, ties in one group, and the ranking's weight."""

    groups: tuple[tuple[int, ...], ...]
    weight: float

    @property
    def sizes(self) -> tuple[int, ...]:
        """The size of each group: what rankings of one shape share."""
        return tuple(len(group) for group in self.groups)


@dataclass(frozen=True)
class SignLabel:
    """A row with the probability that its score should be above zero, and the label's weight."""

    row: int
    p_positive: float
    weight: float


Lesson = Comparison | Ranking | SignLabel


def lesson_rows(lessons: Sequence[Lesson]) -> list[int]:
    """The rows whose scores `lesson_loss` wants, in its order: all a, all b, then rankings, then labelled rows."""
    comparisons, rankings, labels = _by_kind(lessons)
    rows = [c.a for c in comparisons] + [c.b for c in comparisons]
    rows += [row for ranking in rankings for group in ranking.groups for row in group]
    return rows + [label.row for label in labels]


def lesson_loss(
    score_N: Tensor, lessons: Sequence[Lesson], *, margin: float = 0.0, label_smoothing: float = 0.0
) -> tuple[Tensor, float]:
    """Weighted mean loss of a batch, and the share of what it says that the scores get right.

    `score_N` belongs to `lesson_rows(lessons)`. The mean is over the sum of weights. Right is counted a lesson: a
    comparison is right or wrong, a ranking by its ordered pairs, a label by its sign. NaN where nothing can be right,
    as in a batch of rankings that are one tie each. Margin and smoothing concern comparisons alone.
    """
    comparisons, rankings, labels = _by_kind(lessons)
    sizes = [len(comparisons), len(comparisons), sum(sum(r.sizes) for r in rankings), len(labels)]
    a, b, ranked, labelled = torch.split(score_N, sizes)
    p_a, weight = score_N.new_tensor([c.p_a for c in comparisons]), score_N.new_tensor([c.weight for c in comparisons])
    loss = bradley_terry_loss(a, b, p_a, weight, margin=margin, label_smoothing=label_smoothing)
    total = weight.sum()
    right = [((a > b) == (p_a > 0.5)).float()]
    if rankings:
        loss, total = loss + _ranking_loss(ranked, rankings), total + sum(r.weight for r in rankings)
        right.append(_ordered_right(ranked.detach(), rankings))
    if labels:
        p, w = score_N.new_tensor([x.p_positive for x in labels]), score_N.new_tensor([x.weight for x in labels])
        loss, total = loss + sign_loss(labelled, p, w), total + w.sum()
        right.append(((labelled > 0) == (p > 0.5)).float())
    return loss / total.clamp(min=1e-8), torch.cat(right).nanmean().item()


def sign_loss(score_B: Tensor, p_positive: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of cross-entropies between sigmoid(score) and the probability that the score should be positive.

    The sign terms of Safe RLHF (Dai et al. 2023, equation 6): with a certain label s of +1 or -1 it is
    -log sigmoid(s * score).
    """
    return (weight * functional.binary_cross_entropy_with_logits(score_B, p_positive, reduction="none")).sum()


def _by_kind(lessons: Sequence[Lesson]) -> tuple[list[Comparison], list[Ranking], list[SignLabel]]:
    """Lessons of each kind; rankings of one shape stand together."""
    rankings = sorted((x for x in lessons if isinstance(x, Ranking)), key=lambda ranking: ranking.sizes)
    comparisons = [x for x in lessons if isinstance(x, Comparison)]
    return comparisons, rankings, [x for x in lessons if isinstance(x, SignLabel)]


def _ranking_loss(ranked_N: Tensor, rankings: Sequence[Ranking]) -> Tensor:
    loss, start = ranked_N.new_zeros(()), 0
    for sizes, group in groupby(rankings, key=lambda ranking: ranking.sizes):
        weight = ranked_N.new_tensor([ranking.weight for ranking in group])
        end = start + len(weight) * sum(sizes)
        loss = loss + plackett_luce_loss(ranked_N[start:end].view(len(weight), -1), sizes, weight)
        start = end
    return loss


def _ordered_right(ranked_N: Tensor, rankings: Sequence[Ranking]) -> Tensor:
    """Share of each ranking's ordered pairs that the scores put in the same order; NaN for one tie of all."""
    shares = []
    for scores, ranking in zip(torch.split(ranked_N, [sum(r.sizes) for r in rankings]), rankings, strict=True):
        groups = torch.split(scores, list(ranking.sizes))
        hits = torch.cat([(x[:, None] > y).float().flatten() for x, y in combinations(groups, 2)] or [scores[:0]])
        shares.append(hits.mean())
    return torch.stack(shares)
