import math
from statistics import fmean, pstdev

import pytest
import torch

from backstay.learn.bradley_terry import bootstrap_rows, bradley_terry_loss, conservative_score, spread


def test_loss_equals_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b, p, w = torch.rand(4, 30, generator=generator, dtype=torch.float64) * torch.tensor(
        [[4.0], [4.0], [1.0], [2.0]]
    )
    total = 0.0
    for score_a, score_b, p_a, weight in zip(a.tolist(), b.tolist(), p.tolist(), w.tolist(), strict=True):
        chance = 1 / (1 + math.exp(score_b - score_a))
        total -= weight * (p_a * math.log(chance) + (1 - p_a) * math.log(1 - chance))
    assert float(bradley_terry_loss(a, b, p, w)) == pytest.approx(total, abs=1e-10)


def test_a_weight_counts_as_that_many_rows() -> None:
    score = torch.tensor([1.0, -0.5, 0.25], dtype=torch.float64, requires_grad=True)
    against, label = torch.zeros(3, dtype=torch.float64), torch.tensor([1.0, 0.8, 0.3], dtype=torch.float64)
    weight = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)
    loss = bradley_terry_loss(score, against, label, weight) / weight.sum()
    (weighted,) = torch.autograd.grad(loss, score)
    copies = torch.tensor([0, 0, 0, 1, 2, 2])
    repeated_loss = bradley_terry_loss(score[copies], against[copies], label[copies], torch.ones(6).double()) / 6
    (repeated,) = torch.autograd.grad(repeated_loss, score)
    assert loss.item() == pytest.approx(repeated_loss.item(), abs=1e-14)
    assert weighted.tolist() == pytest.approx(repeated.tolist(), abs=1e-14)


def test_an_even_label_pulls_nowhere_at_equal_scores() -> None:
    score = torch.tensor([0.7, -2.0], dtype=torch.float64, requires_grad=True)
    against = score.detach().clone().requires_grad_()
    half = torch.full((2,), 0.5, dtype=torch.float64)
    torch.autograd.backward(bradley_terry_loss(score, against, half, torch.ones(2).double()))
    assert score.grad is not None and against.grad is not None
    assert score.grad.tolist() == [0.0, 0.0]
    assert against.grad.tolist() == [0.0, 0.0]


def test_the_gradient_is_predicted_minus_labelled_probability() -> None:
    score = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    zero, label = torch.zeros(1).double(), torch.tensor([0.9]).double()
    torch.autograd.backward(bradley_terry_loss(score, zero, label, torch.tensor([2.0]).double()))
    assert score.grad is not None
    assert float(score.grad) == pytest.approx(2 * (1 / (1 + math.exp(-0.3)) - 0.9))


def test_conservative_score_by_hand() -> None:
    members = [[1.0, 2.0, 0.0], [3.0, 2.0, 0.5], [5.0, 2.0, -3.5]]
    score = torch.tensor(members, dtype=torch.float64)
    by_response = list(zip(*members, strict=True))
    wanted = [fmean(column) - 0.5 * pstdev(column) for column in by_response]
    assert conservative_score(score, penalty=0.5).tolist() == pytest.approx(wanted)
    assert spread(score).tolist() == pytest.approx([pstdev(column) for column in by_response])


def test_without_a_penalty_the_score_is_the_mean() -> None:
    score = torch.randn(4, 7, generator=torch.Generator().manual_seed(1))
    assert torch.equal(conservative_score(score, penalty=0.0), score.mean(0))


def test_a_single_member_has_no_spread() -> None:
    score = torch.tensor([[1.0, -2.0]])
    assert spread(score).tolist() == [0.0, 0.0]
    assert conservative_score(score, penalty=9.0).tolist() == [1.0, -2.0]


def test_a_bootstrap_draws_with_replacement() -> None:
    rows = bootstrap_rows(5000, torch.Generator().manual_seed(0))
    assert len(rows) == 5000
    assert int(rows.min()) >= 0 and int(rows.max()) < 5000
    distinct = len(set(rows.tolist())) / 5000
    assert distinct == pytest.approx(1 - 1 / math.e, abs=0.02)
    assert torch.equal(rows, bootstrap_rows(5000, torch.Generator().manual_seed(0)))
    assert not torch.equal(rows, bootstrap_rows(5000, torch.Generator().manual_seed(1)))
