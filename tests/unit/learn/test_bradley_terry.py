import math

import pytest
import torch

from backstay.learn.bradley_terry import bootstrap_rows, bradley_terry_loss


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
    zero, label = torch.zeros(1).double(), torch.tensor([0.9], dtype=torch.float64)
    torch.autograd.backward(bradley_terry_loss(score, zero, label, torch.tensor([2.0]).double()))
    assert score.grad is not None
    assert float(score.grad) == pytest.approx(2 * (1 / (1 + math.exp(-0.3)) - 0.9))


def slow_loss(lead: float, p_a: float) -> float:
    chance = 1 / (1 + math.exp(-lead))
    return -(p_a * math.log(chance) + (1 - p_a) * math.log(1 - chance))


@pytest.mark.parametrize(("p_a", "asked"), [(1.0, 0.8), (0.0, -0.8), (0.5, 0.0), (0.75, 0.4)])
def test_a_margin_shifts_the_lead_that_a_label_asks_for(p_a: float, asked: float) -> None:
    a, b, label, one = (torch.tensor([x], dtype=torch.float64) for x in (1.3, 0.4, p_a, 1.0))
    found = bradley_terry_loss(a, b, label, one, margin=0.8)
    assert float(found) == pytest.approx(slow_loss(0.9 - asked, p_a), abs=1e-12)
    each = bradley_terry_loss(a, b, label, one, margin=torch.tensor([0.8], dtype=torch.float64))
    assert float(each) == float(found)


def test_a_soft_margin_is_graded_by_the_log_odds_of_the_label() -> None:
    for p_a in (0.6, 0.9, 0.99):
        assert 2 * p_a - 1 == pytest.approx(math.tanh(math.log(p_a / (1 - p_a)) / 2))


def test_smoothing_replaces_a_share_of_the_label_by_one_half() -> None:
    a, b, one = (torch.tensor([x], dtype=torch.float64) for x in (1.3, 0.4, 1.0))
    label = torch.tensor([0.9], dtype=torch.float64)
    found = bradley_terry_loss(a, b, label, one, label_smoothing=0.2)
    assert float(found) == pytest.approx(slow_loss(0.9, 0.8 * 0.9 + 0.1), abs=1e-12)
    flipped = 0.9 * slow_loss(0.9, 0.9) + 0.1 * slow_loss(0.9, 0.1)  # a tenth of the labels the wrong way round
    assert float(found) == pytest.approx(flipped, abs=1e-12)


def test_the_margin_is_taken_from_the_label_before_smoothing() -> None:
    a, b, one = (torch.tensor([x], dtype=torch.float64) for x in (1.3, 0.4, 1.0))
    found = bradley_terry_loss(a, b, one, one, margin=0.5, label_smoothing=0.2)
    assert float(found) == pytest.approx(slow_loss(0.9 - 0.5, 0.9), abs=1e-12)


def test_nothing_is_changed_when_both_are_off() -> None:
    generator = torch.Generator().manual_seed(3)
    a, b, p, w = torch.rand(4, 9, generator=generator)
    assert torch.equal(bradley_terry_loss(a, b, p, w), bradley_terry_loss(a, b, p, w, margin=0.0, label_smoothing=0.0))
    own = torch.nn.functional.binary_cross_entropy_with_logits(a - b, p, reduction="none")
    assert torch.equal(bradley_terry_loss(a, b, p, w), (w * own).sum())


def test_a_bootstrap_draws_with_replacement() -> None:
    rows = bootstrap_rows(5000, torch.Generator().manual_seed(0))
    assert len(rows) == 5000
    assert int(rows.min()) >= 0 and int(rows.max()) < 5000
    distinct = len(set(rows.tolist())) / 5000
    assert distinct == pytest.approx(1 - 1 / math.e, abs=0.02)
    assert torch.equal(rows, bootstrap_rows(5000, torch.Generator().manual_seed(0)))
    assert not torch.equal(rows, bootstrap_rows(5000, torch.Generator().manual_seed(1)))
