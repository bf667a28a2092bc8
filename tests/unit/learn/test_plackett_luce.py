import math
from collections.abc import Iterator, Sequence
from itertools import permutations, product

import pytest
import torch

from backstay.learn.bradley_terry import bradley_terry_loss
from backstay.learn.plackett_luce import MAX_TIED, plackett_luce_loss

SHAPES = [(1, 1), (1, 1, 1), (2, 1), (1, 2), (3,), (2,), (1, 2, 1), (2, 2), (3, 1, 2), (1, 1, 1, 1, 1), (4, 2)]


def orders(sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every strict order that a ranking with ties allows."""
    start, groups = 0, []
    for size in sizes:
        groups.append(range(start, start + size))
        start += size
    for chosen in product(*(list(permutations(group)) for group in groups)):
        yield tuple(index for group in chosen for index in group)


def slow_loss(scores: Sequence[float], sizes: Sequence[int]) -> float:
    """Mean of -log P over every order that the ties allow, one choice at a time."""
    found = list(orders(sizes))
    total = 0.0
    for order in found:
        for place, chosen in enumerate(order):
            left = sum(math.exp(scores[other]) for other in order[place:])
            total -= math.log(math.exp(scores[chosen]) / left)
    return total / len(found)


def drawn(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("sizes", SHAPES)
def test_the_loss_is_the_mean_over_all_orders(sizes: tuple[int, ...]) -> None:
    scores, weight = drawn(3, sum(sizes)), torch.tensor([1.0, 0.0, 2.5]).double()
    wanted = sum(w * slow_loss(row, sizes) for row, w in zip(scores.tolist(), weight.tolist(), strict=True))
    assert float(plackett_luce_loss(scores, sizes, weight)) == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("sizes", SHAPES)
def test_gradients_equal_finite_differences(sizes: tuple[int, ...]) -> None:
    scores = drawn(1, sum(sizes), seed=1).requires_grad_(True)
    torch.autograd.backward(plackett_luce_loss(scores, sizes, torch.tensor([1.7], dtype=torch.float64)))
    assert scores.grad is not None
    step = 1e-5
    for column in range(sum(sizes)):
        up, down = scores.detach()[0].tolist(), scores.detach()[0].tolist()
        up[column] += step
        down[column] -= step
        slope = 1.7 * (slow_loss(up, sizes) - slow_loss(down, sizes)) / (2 * step)
        assert float(scores.grad[0, column]) == pytest.approx(slope, abs=1e-8)


def test_two_responses_are_bradley_terry() -> None:
    scores, weight = drawn(6, 2), torch.rand(6, generator=torch.Generator().manual_seed(2)).double()
    one = torch.ones(6).double()
    for sizes, label in (((1, 1), one), ((2,), one / 2)):
        wanted = bradley_terry_loss(scores[:, 0], scores[:, 1], label, weight)
        assert float(plackett_luce_loss(scores, sizes, weight)) == pytest.approx(float(wanted), abs=1e-12)


def test_probabilities_of_all_orders_sum_to_one() -> None:
    scores, one = drawn(1, 4)[0], torch.ones(1).double()
    total = sum(
        math.exp(-float(plackett_luce_loss(scores[list(order)][None], (1, 1, 1, 1), one)))
        for order in permutations(range(4))
    )
    assert total == pytest.approx(1.0, abs=1e-12)


def test_only_differences_of_scores_count() -> None:
    scores, one = drawn(2, 5), torch.ones(2).double()
    for sizes in ((1, 2, 2), (5,)):
        first = plackett_luce_loss(scores, sizes, one)
        assert float(plackett_luce_loss(scores + 100, sizes, one)) == pytest.approx(float(first), abs=1e-9)


def test_a_tie_of_all_pulls_nowhere_at_equal_scores() -> None:
    scores = torch.full((1, 4), 0.3, dtype=torch.float64, requires_grad=True)
    torch.autograd.backward(plackett_luce_loss(scores, (4,), torch.ones(1).double()))
    assert scores.grad is not None
    assert scores.grad.abs().max() < 1e-12


def test_large_scores_stay_finite() -> None:
    scores = torch.tensor([[-500.0, 500.0, 0.0]], requires_grad=True)
    loss = plackett_luce_loss(scores, (1, 2), torch.ones(1))
    torch.autograd.backward(loss)
    assert scores.grad is not None
    assert math.isfinite(loss.item()) and bool(scores.grad.isfinite().all())


@pytest.mark.parametrize("sizes", [(1, 1), (1, 1, 1, 1), (), (0, 3), (MAX_TIED + 1,)])
def test_shapes_that_do_not_fit_are_refused(sizes: tuple[int, ...]) -> None:
    columns = MAX_TIED + 1 if sum(sizes) > 4 else 3
    with pytest.raises(ValueError, match="groups of|tied group"):
        plackett_luce_loss(drawn(1, columns), sizes, torch.ones(1).double())
