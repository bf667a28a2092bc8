import math

import pytest
import torch
from scipy.stats import entropy
from torch import Tensor

from backstay.learn.kl import k1, k2, k3, next_coefficient


def two_categoricals(distance: float = 1.0, size: int = 40) -> tuple[Tensor, Tensor]:
    """Log-probabilities of a policy and of a reference over one vocabulary."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, size, generator=generator, dtype=torch.float64)
    policy = logits[0].log_softmax(-1)
    return policy, (logits[0] + distance * logits[1]).log_softmax(-1)


def expectation(estimate: Tensor, policy: Tensor) -> float:
    return float(sum(math.exp(p) * e for p, e in zip(policy.tolist(), estimate.tolist(), strict=True)))


def test_k1_and_k3_have_the_kl_as_their_expectation() -> None:
    policy, reference = two_categoricals()
    closed_form = float(entropy(policy.exp().numpy(), reference.exp().numpy()))
    assert expectation(k1(policy, reference), policy) == pytest.approx(closed_form, abs=1e-12)
    assert expectation(k3(policy, reference), policy) == pytest.approx(closed_form, abs=1e-12)


def test_k2_is_biased_but_agrees_to_second_order() -> None:
    for distance in (0.3, 0.03):
        policy, reference = two_categoricals(distance)
        closed_form = float(entropy(policy.exp().numpy(), reference.exp().numpy()))
        assert abs(expectation(k2(policy, reference), policy) / closed_form - 1) < distance
    far_policy, far_reference = two_categoricals(3.0)
    closed_form = float(entropy(far_policy.exp().numpy(), far_reference.exp().numpy()))
    assert abs(expectation(k2(far_policy, far_reference), far_policy) / closed_form - 1) > 0.05


def test_estimators_of_one_token_by_hand() -> None:
    logprob, reference = torch.tensor([math.log(0.5)]).double(), torch.tensor([math.log(0.2)]).double()
    gap = math.log(2.5)
    assert float(k1(logprob, reference)) == pytest.approx(gap)
    assert float(k2(logprob, reference)) == pytest.approx(gap**2 / 2)
    assert float(k3(logprob, reference)) == pytest.approx(0.4 - 1 + gap)


def test_k1_keeps_its_sign_and_k3_never_falls_below_zero() -> None:
    policy, reference = two_categoricals()
    assert float(k1(policy, reference).min()) < 0
    assert float(k3(policy, reference).min()) >= 0
    assert float(k3(torch.tensor(-900.0), torch.tensor(0.0))) == pytest.approx(math.exp(20) - 21)


def test_equal_policies_have_no_kl_at_any_token() -> None:
    policy, _ = two_categoricals()
    for estimator in (k1, k2, k3):
        assert estimator(policy, policy).abs().max() == 0


@pytest.mark.parametrize(
    ("observed", "factor"),
    [
        (6.0, 1.0),  # on target
        (6.6, 1 + 0.1 * 48 / 1000),  # a tenth above
        (60.0, 1 + 0.2 * 48 / 1000),  # bounded above
        (-5.0, 1 - 0.2 * 48 / 1000),  # bounded below; an estimate may be negative
    ],
)
def test_the_adaptive_coefficient_by_hand(observed: float, factor: float) -> None:
    found = next_coefficient(0.05, observed, target=6.0, horizon=1000.0, episodes=48)
    assert found == pytest.approx(0.05 * factor, abs=1e-15)


def test_no_target_means_a_fixed_coefficient() -> None:
    assert next_coefficient(0.05, 123.0, target=0.0, horizon=1.0, episodes=10**6) == 0.05
