import math
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from backstay.learn import DpoSettings
from backstay.learn.lessons import Comparison
from backstay.learn.preference import (
    PairBatch,
    cdpo_loss,
    dpo_loss,
    ipo_loss,
    kto_loss,
    kto_reference_point,
    robust_dpo_loss,
    smoothed_label,
    unbiased_label,
)
from backstay.learn.preference.objective import figures, summed_loss, total_weight

BETA, FLIP, MARGIN = 0.3, 0.15, 0.4
LOSSES = ("dpo", "ipo", "cdpo", "robust", "kto")


def numbers(count: int = 7, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a, b = (4 * torch.randn(count, generator=generator, dtype=torch.float64) for _ in range(2))
    return a, b, torch.rand(count, generator=generator, dtype=torch.float64)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def by_hand(a: float, b: float, p: float, margin: float = 0.0) -> float:
    lead = BETA * (a - b)
    return -p * log_sigmoid(lead - margin) - (1 - p) * log_sigmoid(-lead - margin)


def settings(loss: str, **changes: Any) -> DpoSettings:
    flips = {"label_smoothing": FLIP} if loss in ("cdpo", "robust") else {}
    return DpoSettings.model_validate({"loss": loss, "beta": BETA} | flips | changes)


def batch(count: int = 7, seed: int = 0) -> PairBatch:
    a, b, p_a = numbers(count, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    tokens = torch.randint(1, 9, (2, count), generator=generator).double()
    return PairBatch(a, b, tokens[0], tokens[1], p_a, torch.rand(count, generator=generator, dtype=torch.float64))


def pairs_of(given: PairBatch) -> list[Comparison]:
    rows = zip(given.p_a_P.tolist(), given.weight_P.tolist(), strict=True)
    return [Comparison(0, 1, p_a, weight) for p_a, weight in rows]


def mean_loss(given: PairBatch, loss: str, point: Tensor | None = None, **changes: Any) -> Tensor:
    chosen = settings(loss, **changes)
    return summed_loss(given, chosen, point) / total_weight(pairs_of(given), chosen)


def rows_of(given: PairBatch, index: list[int]) -> PairBatch:
    return PairBatch(*(getattr(given, name)[index] for name in PairBatch.__dataclass_fields__))


def test_dpo_against_a_loop() -> None:
    a, b, p_a = numbers()
    found = dpo_loss(a, b, p_a, beta=BETA, margin=MARGIN)
    rows = zip(a.tolist(), b.tolist(), p_a.tolist(), strict=True)
    assert found.tolist() == pytest.approx([by_hand(*row, margin=MARGIN) for row in rows], abs=1e-12)


def test_cdpo_and_robust_against_their_papers() -> None:
    a, b, _ = numbers()
    one = torch.ones_like(a)
    conservative = cdpo_loss(a, b, one, beta=BETA, flip_rate=FLIP)
    robust = robust_dpo_loss(a, b, one, beta=BETA, flip_rate=FLIP)
    for row, (x, y) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        right, wrong = -log_sigmoid(BETA * (x - y)), -log_sigmoid(BETA * (y - x))
        assert float(conservative[row]) == pytest.approx((1 - FLIP) * right + FLIP * wrong, abs=1e-12)
        assert float(robust[row]) == pytest.approx(((1 - FLIP) * right - FLIP * wrong) / (1 - 2 * FLIP), abs=1e-12)


def test_ipo_is_the_mean_over_the_labels_that_p_a_stands_for() -> None:
    a, b, p_a = numbers()
    found, clear = ipo_loss(a, b, p_a, beta=BETA), ipo_loss(a, b, torch.ones_like(a), beta=BETA)
    for row, (x, y, p) in enumerate(zip(a.tolist(), b.tolist(), p_a.tolist(), strict=True)):
        target = 1 / (2 * BETA)
        assert float(clear[row]) == pytest.approx((x - y - target) ** 2, abs=1e-12)
        assert float(found[row]) == pytest.approx(
            p * (x - y - target) ** 2 + (1 - p) * (y - x - target) ** 2, abs=1e-12
        )


def test_kto_against_a_loop() -> None:
    ratio, mismatched, weight = numbers()
    desirable = torch.tensor([True, False, True, True, False, False, True])
    point = kto_reference_point(mismatched, weight)
    found = kto_loss(ratio, desirable, point, beta=BETA, desirable_weight=1.3, undesirable_weight=0.7)
    z = max(0.0, sum(w * m for w, m in zip(weight.tolist(), mismatched.tolist(), strict=True)) / float(weight.sum()))
    assert float(point) == pytest.approx(z, abs=1e-12)
    for row, (r, good) in enumerate(zip(ratio.tolist(), desirable.tolist(), strict=True)):
        chance = 1 / (1 + math.exp(-BETA * (r - z if good else z - r)))
        assert float(found[row]) == pytest.approx((1.3 if good else 0.7) * (1 - chance), abs=1e-12)


def test_the_reference_point_is_the_mean_bounded_at_zero_and_has_no_gradient() -> None:
    up = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64, requires_grad=True)
    point = kto_reference_point(up, torch.ones(3))
    assert float(point) == 3.0 and not point.requires_grad
    assert float(kto_reference_point(-up, torch.ones(3))) == 0.0
    assert float(kto_reference_point(up, torch.zeros(3))) == 0.0


def test_losses_where_policy_and_reference_agree() -> None:
    zero, p_a = torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    log_2 = [math.log(2)] * 3
    assert dpo_loss(zero, zero, p_a, beta=BETA).tolist() == pytest.approx(log_2)
    assert cdpo_loss(zero, zero, p_a, beta=BETA, flip_rate=FLIP).tolist() == pytest.approx(log_2)
    assert robust_dpo_loss(zero, zero, p_a, beta=BETA, flip_rate=FLIP).tolist() == pytest.approx(log_2)
    assert ipo_loss(zero, zero, p_a, beta=BETA).tolist() == pytest.approx([0.25 / BETA**2] * 3)
    desirable = torch.tensor([True, False, True])
    assert kto_loss(zero, desirable, zero.sum(), beta=BETA).tolist() == pytest.approx([0.5] * 3)


@pytest.mark.parametrize("loss", ["dpo", "ipo", "cdpo", "robust"])
def test_a_label_of_one_half_has_no_gradient_at_equality(loss: str) -> None:
    a, b = (torch.full((2,), 1.5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    even = torch.full((2,), 0.5, dtype=torch.float64)
    given = PairBatch(a, b, even * 6, even * 6, even, even)
    slopes = torch.autograd.grad(summed_loss(given, settings(loss)), (a, b))
    assert all(float(slope.abs().max()) < 1e-15 for slope in slopes)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_against_finite_differences(loss: str) -> None:
    given, point, step = batch(), torch.tensor(0.2, dtype=torch.float64), 1e-6
    for side in ("log_ratio_a_P", "log_ratio_b_P"):
        at = getattr(given, side).clone().requires_grad_(True)

        def value(x: Tensor, side: str = side) -> Tensor:
            return mean_loss(PairBatch(**(vars(given) | {side: x})), loss, point)

        (slope,) = torch.autograd.grad(value(at), at)
        for row in range(len(at)):
            nudge = torch.zeros_like(at)
            nudge[row] = step
            near = (value(at.detach() + nudge) - value(at.detach() - nudge)) / (2 * step)
            assert float(slope[row]) == pytest.approx(float(near), abs=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_of_w_is_w_copies(loss: str) -> None:
    given, point = batch(4), torch.tensor(0.2, dtype=torch.float64)
    whole = torch.tensor([1.0, 3.0, 0.0, 2.0], dtype=torch.float64)
    weighted = PairBatch(**(vars(given) | {"weight_P": whole}))
    copied = rows_of(PairBatch(**(vars(given) | {"weight_P": torch.ones_like(whole)})), [0, 1, 1, 1, 3, 3])
    assert float(mean_loss(weighted, loss, point)) == pytest.approx(float(mean_loss(copied, loss, point)), abs=1e-14)


def test_the_reference_point_counts_a_weight_as_copies_too() -> None:
    mismatched = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
    copies = kto_reference_point(mismatched[[0, 1, 1, 1, 2]], torch.ones(5, dtype=torch.float64))
    weighted = kto_reference_point(mismatched, torch.tensor([1.0, 3.0, 1.0], dtype=torch.float64))
    assert float(weighted) == pytest.approx(float(copies), abs=1e-15)


@pytest.mark.parametrize("loss", LOSSES)
def test_turning_a_pair_round_changes_nothing(loss: str) -> None:
    given, point = batch(), torch.tensor(0.2, dtype=torch.float64)
    turned = PairBatch(
        given.log_ratio_b_P, given.log_ratio_a_P, given.tokens_b_P, given.tokens_a_P, 1 - given.p_a_P, given.weight_P
    )
    margin = {"margin": MARGIN} if loss in ("dpo", "cdpo", "robust") else {}
    first, second = (mean_loss(x, loss, point, **margin) for x in (given, turned))
    assert float(first) == pytest.approx(float(second), abs=1e-14)


def expected_over_flips(loss: Callable[[Tensor], Tensor], labels: Tensor) -> float:
    """Mean of the summed loss over every way in which labels can be flipped, each with its probability."""
    total = 0.0
    for flips in product((False, True), repeat=len(labels)):
        flipped = torch.tensor(flips)
        chance = math.prod(FLIP if flip else 1 - FLIP for flip in flips)
        total += chance * float(loss(torch.where(flipped, 1 - labels, labels)).sum())
    return total


@pytest.mark.parametrize("labels", [[1.0, 0.0, 1.0, 1.0], [0.9, 0.2, 0.5, 1.0]])
def test_robust_dpo_is_unbiased_under_flips_and_dpo_is_not(labels: list[float]) -> None:
    a, b, _ = numbers(4)
    clean = torch.tensor(labels, dtype=torch.float64)
    truth = float(dpo_loss(a, b, clean, beta=BETA, margin=MARGIN).sum())

    def robust(label: Tensor) -> Tensor:
        return robust_dpo_loss(a, b, label, beta=BETA, flip_rate=FLIP, margin=MARGIN)

    def naive(label: Tensor) -> Tensor:
        return dpo_loss(a, b, label, beta=BETA, margin=MARGIN)

    assert expected_over_flips(robust, clean) == pytest.approx(truth, abs=1e-12)
    assert abs(expected_over_flips(naive, clean) - truth) > 0.1


def test_the_two_label_maps_undo_each_other() -> None:
    p_a = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert unbiased_label(smoothed_label(p_a, FLIP), FLIP).tolist() == pytest.approx(p_a.tolist(), abs=1e-14)
    assert smoothed_label(torch.ones(1), 0.1).item() == pytest.approx(0.9)


def test_figures_follow_the_preferred_side_and_leave_ties_out() -> None:
    a, b = torch.tensor([2.0, 1.0, 5.0, 3.0]), torch.tensor([1.0, 4.0, 5.0, 1.0])
    p_a = torch.tensor([0.9, 0.2, 0.5, 0.1])
    found = figures(PairBatch(a, b, a, b, p_a, torch.ones(4)), beta=0.5)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["margin"] == pytest.approx(0.5 * (1 + 3 - 2) / 3)
    assert found["chosen_logprob_change"] == pytest.approx((2 + 4 + 1) / 3)
    assert found["rejected_logprob_change"] == pytest.approx((1 + 1 + 3) / 3)
    ties = figures(PairBatch(a, b, a, b, torch.full((4,), 0.5), torch.ones(4)), beta=0.5)
    assert set(ties.values()) == {None}


def test_untrained_pairs_are_guessed() -> None:
    zero, one = torch.zeros(3), torch.ones(3)
    assert figures(PairBatch(zero, zero, one, one, one, one), beta=0.5)["accuracy"] == 0.5


def test_ipo_reads_means_a_token() -> None:
    given = batch()
    value = summed_loss(given, settings("ipo"))
    means = (given.log_ratio_a_P / given.tokens_a_P, given.log_ratio_b_P / given.tokens_b_P)
    assert float(value) == pytest.approx(float((given.weight_P * ipo_loss(*means, given.p_a_P, beta=BETA)).sum()))


def test_kto_without_its_reference_point_is_an_error() -> None:
    with pytest.raises(ValueError, match="reference point"):
        summed_loss(batch(), settings("kto"))


def test_far_apart_log_ratios_stay_finite() -> None:
    far = torch.tensor([1e4, -1e4, 1e4], dtype=torch.float32)
    for loss in LOSSES:
        given = PairBatch(far, -far, torch.ones(3), torch.ones(3), torch.tensor([1.0, 1.0, 0.5]), torch.ones(3))
        assert math.isfinite(float(mean_loss(given, loss, torch.tensor(0.0))))
