import math

import pytest
import torch
from torch import Tensor

from backstay.learn.policy_loss import (
    Level,
    clip_fraction,
    clipped_policy_loss,
    clipped_value_loss,
    ratio,
    response_ratio,
    token_weights,
)

LENGTHS = (6, 1, 3, 5)


def tokens(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    names = ("logprob", "old_logprob", "advantage", "value", "old_value", "returned")
    made = {name: torch.randn(4, 6, generator=generator, dtype=torch.float64) for name in names}
    made["mask"] = torch.arange(6)[None] < torch.tensor(LENGTHS)[:, None]
    return made


def slow_loss(r: float, advantage: float, dual_clip: float) -> float:
    """The published formula, case by case."""
    best = min(r * advantage, min(max(r, 0.8), 1.2) * advantage)
    if dual_clip and advantage < 0:
        best = max(best, dual_clip * advantage)
    return -best


@pytest.mark.parametrize("dual_clip", [0.0, 1.5, 3.0])
def test_policy_loss_equals_a_slow_loop(dual_clip: float) -> None:
    x = tokens(3)
    r = ratio(x["logprob"], x["old_logprob"])
    losses = clipped_policy_loss(r, x["advantage"], clip=0.2, dual_clip=dual_clip)
    outside, bounded = 0, 0
    for row, column in x["mask"].nonzero().tolist():
        own = math.exp(float(x["logprob"][row, column] - x["old_logprob"][row, column]))
        advantage = float(x["advantage"][row, column])
        assert float(r[row, column]) == pytest.approx(own, abs=1e-12)
        assert float(losses[row, column]) == pytest.approx(slow_loss(own, advantage, dual_clip), abs=1e-12)
        outside += not 0.8 <= own <= 1.2
        bounded += advantage < 0 and 0 < dual_clip < own
    assert int(clip_fraction(r, x["mask"], clip=0.2)) == outside > 0
    assert (bounded > 0) == (dual_clip > 0)


@pytest.mark.parametrize("clip", [0.0, 0.2, 1.0])
def test_value_loss_equals_a_slow_loop(clip: float) -> None:
    x = tokens(1)
    losses = clipped_value_loss(x["value"], x["old_value"], x["returned"], clip=clip)
    for row, column in x["mask"].nonzero().tolist():
        value, old, returned = (float(x[name][row, column]) for name in ("value", "old_value", "returned"))
        near = min(max(value, old - clip), old + clip) if clip else value
        slow = max((value - returned) ** 2, (near - returned) ** 2) / 2
        assert float(losses[row, column]) == pytest.approx(slow, abs=1e-12)


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "dual_clip", "slope"),
    [
        (0.0, 2.0, 0.0, -2.0),  # unclipped: -A r
        (0.5, 2.0, 0.0, 0.0),  # already more likely than the clip allows
        (-0.5, 2.0, 0.0, -2.0 * math.exp(-0.5)),  # may always come back
        (0.5, -2.0, 0.0, 2.0 * math.exp(0.5)),
        (-0.5, -2.0, 0.0, 0.0),
        (0.5, -2.0, 1.5, 0.0),  # so far off that the bound holds it
        (0.3, -2.0, 1.5, 2.0 * math.exp(0.3)),  # within the bound
        (0.5, 2.0, 1.5, 0.0),  # no bound on positive advantages
    ],
)
def test_gradient_of_one_token_by_hand(log_ratio: float, advantage: float, dual_clip: float, slope: float) -> None:
    logprob = torch.tensor([[log_ratio - 1.0]], dtype=torch.float64, requires_grad=True)
    r = ratio(logprob, torch.tensor([[-1.0]], dtype=torch.float64))
    loss = clipped_policy_loss(r, torch.tensor([[advantage]]).double(), clip=0.2, dual_clip=dual_clip)
    torch.autograd.backward(loss.sum())
    assert logprob.grad is not None
    assert float(logprob.grad) == pytest.approx(slope, abs=1e-12)


def test_a_response_has_one_ratio_that_of_its_whole_probability() -> None:
    x = tokens(2)
    found = response_ratio(x["logprob"], x["old_logprob"], x["mask"])
    for row, length in enumerate(LENGTHS):
        log = sum(float(x["logprob"][row, t] - x["old_logprob"][row, t]) for t in range(length))
        assert found[row].tolist() == pytest.approx([math.exp(log)] * 6, abs=1e-12)


def test_the_gradient_of_a_response_ratio_reaches_each_of_its_tokens_alike_and_no_padding() -> None:
    x = tokens(2)
    logprob = x["logprob"].requires_grad_()
    r = response_ratio(logprob, x["old_logprob"], x["mask"])
    torch.autograd.backward((r * token_weights(x["mask"], "response")).sum())
    assert logprob.grad is not None
    for row, length in enumerate(LENGTHS):  # d mean(exp(sum of log-ratios)) / d any log-probability of row i
        assert logprob.grad[row].tolist() == pytest.approx(
            [float(r.detach()[row, 0]) / 4] * length + [0.0] * (6 - length)
        )


@pytest.mark.parametrize("level", ["token", "response"])
def test_padding_has_no_weight_and_no_gradient(level: Level) -> None:
    x = tokens()
    logprob = x["logprob"].requires_grad_()
    losses = clipped_policy_loss(ratio(logprob, x["old_logprob"]), x["advantage"], clip=0.2)
    torch.autograd.backward((losses * token_weights(x["mask"], level)).sum())
    assert logprob.grad is not None
    assert logprob.grad[~x["mask"]].abs().max() == 0 < logprob.grad[x["mask"]].abs().max()


@pytest.mark.parametrize("level", ["token", "response"])
def test_weights_are_shares_of_the_whole_step(level: Level) -> None:
    mask = tokens()["mask"]
    found = token_weights(mask, level)
    for row, length in enumerate(LENGTHS):
        share = 1 / sum(LENGTHS) if level == "token" else 1 / len(LENGTHS) / length
        assert found[row].tolist() == pytest.approx([share] * length + [0.0] * (6 - length), abs=1e-15)
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("level", ["token", "response"])
def test_rows_that_are_not_learned_from_leave_their_weight_to_the_others(level: Level) -> None:
    mask = tokens()["mask"]
    mask[2] = False
    found = token_weights(mask, level)
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-15)
    assert torch.equal(found[[0, 1, 3]], token_weights(mask[[0, 1, 3]], level))
    assert token_weights(torch.zeros(3, 4).bool(), level).tolist() == [[0.0] * 4] * 3


def test_the_two_levels_differ_only_where_lengths_do() -> None:
    square = torch.ones(3, 5).bool()
    assert torch.allclose(token_weights(square, "token"), token_weights(square, "response"), atol=1e-15)
    ragged = tokens()["mask"]
    per_row = token_weights(ragged, "token").sum(1)
    assert per_row.tolist() == pytest.approx([n / sum(LENGTHS) for n in LENGTHS])
    assert token_weights(ragged, "response").sum(1).tolist() == pytest.approx([0.25] * 4)


def test_the_ratio_is_bounded_before_it_overflows() -> None:
    found = ratio(torch.tensor([0.0, -900.0]), torch.tensor([-900.0, 0.0]))
    assert found.tolist() == pytest.approx([math.exp(20), math.exp(-20)])
    long = torch.full((1, 50), 1.0)
    assert response_ratio(long, -long, torch.ones(1, 50).bool())[0, 0] == pytest.approx(math.exp(20))
