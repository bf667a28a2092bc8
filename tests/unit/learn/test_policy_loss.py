import math

import pytest
import torch
from torch import Tensor

from backstay.learn.policy_loss import clip_fraction, clipped_policy_loss, clipped_value_loss, ratio


def tokens(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    names = ("logprob", "old_logprob", "advantage", "value", "old_value", "returned")
    made = {name: torch.randn(4, 6, generator=generator, dtype=torch.float64) for name in names}
    made["mask"] = torch.arange(6)[None] < torch.tensor([6, 1, 3, 5])[:, None]
    return made


def test_policy_loss_equals_a_slow_loop() -> None:
    x = tokens()
    total, outside = 0.0, 0
    for row, column in x["mask"].nonzero().tolist():
        r = math.exp(float(x["logprob"][row, column] - x["old_logprob"][row, column]))
        advantage = float(x["advantage"][row, column])
        total -= min(r * advantage, min(max(r, 0.8), 1.2) * advantage)
        outside += not 0.8 <= r <= 1.2
    loss = clipped_policy_loss(x["logprob"], x["old_logprob"], x["advantage"], x["mask"], clip=0.2)
    assert float(loss) == pytest.approx(total, abs=1e-12)
    assert int(clip_fraction(x["logprob"], x["old_logprob"], x["mask"], clip=0.2)) == outside


@pytest.mark.parametrize("clip", [0.0, 0.2, 1.0])
def test_value_loss_equals_a_slow_loop(clip: float) -> None:
    x = tokens(1)
    total = 0.0
    for row, column in x["mask"].nonzero().tolist():
        value, old, returned = (float(x[name][row, column]) for name in ("value", "old_value", "returned"))
        near = min(max(value, old - clip), old + clip) if clip else value
        total += max((value - returned) ** 2, (near - returned) ** 2) / 2
    loss = clipped_value_loss(x["value"], x["old_value"], x["returned"], x["mask"], clip=clip)
    assert float(loss) == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "slope"),
    [
        (0.0, 2.0, -2.0),  # unclipped: -A r
        (0.5, 2.0, 0.0),  # already more likely than the clip allows
        (-0.5, 2.0, -2.0 * math.exp(-0.5)),  # may always come back
        (0.5, -2.0, 2.0 * math.exp(0.5)),
        (-0.5, -2.0, 0.0),
    ],
)
def test_gradient_of_one_token_by_hand(log_ratio: float, advantage: float, slope: float) -> None:
    logprob = torch.tensor([[log_ratio - 1.0]], dtype=torch.float64, requires_grad=True)
    old, mask = torch.tensor([[-1.0]], dtype=torch.float64), torch.ones(1, 1).bool()
    torch.autograd.backward(clipped_policy_loss(logprob, old, torch.tensor([[advantage]]).double(), mask, clip=0.2))
    assert logprob.grad is not None
    assert float(logprob.grad) == pytest.approx(slope, abs=1e-12)


def test_padding_has_no_loss_and_no_gradient() -> None:
    x = tokens()
    logprob = x["logprob"].requires_grad_()
    torch.autograd.backward(clipped_policy_loss(logprob, x["old_logprob"], x["advantage"], x["mask"], clip=0.2))
    assert logprob.grad is not None
    assert logprob.grad[~x["mask"]].abs().max() == 0
    louder = {name: value.masked_fill(~x["mask"], 1e6) for name, value in x.items() if name != "mask"}
    for clip in (0.0, 0.2):
        quiet = clipped_value_loss(x["value"], x["old_value"], x["returned"], x["mask"], clip=clip)
        loud = clipped_value_loss(louder["value"], louder["old_value"], louder["returned"], x["mask"], clip=clip)
        assert float(quiet) == float(loud)


def test_the_ratio_is_bounded_before_it_overflows() -> None:
    found = ratio(torch.tensor([0.0, -900.0]), torch.tensor([-900.0, 0.0]))
    assert found.tolist() == pytest.approx([math.exp(20), math.exp(-20)])
