"""Invariants of the training mathematics, with inputs found by hypothesis."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.learn.advantage import gae, group_standardised, leave_one_out, rewards_to_go, token_rewards, whiten
from backstay.learn.bradley_terry import bradley_terry_loss
from backstay.learn.kl import k3, next_coefficient
from backstay.learn.policy_loss import Level, clipped_policy_loss, token_weights
from backstay.learn.rl.lagrangian import Multiplier, weigh

pytestmark = pytest.mark.property

numbers = st.floats(-3, 3, allow_nan=False).map(lambda x: round(x, 3))
shares = st.floats(0, 1, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def rounds(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    reward = [[draw(numbers) for _ in range(columns)] for _ in range(rows)]
    value = [[draw(numbers) for _ in range(columns + 1)] for _ in range(rows)]
    length = [draw(st.integers(1, columns)) for _ in range(rows)]
    finished = [draw(st.booleans()) for _ in range(rows)]
    tensors = torch.tensor(reward, dtype=torch.float64), torch.tensor(value, dtype=torch.float64)
    return *tensors, torch.tensor(length), torch.tensor(finished)


@settings(deadline=None, max_examples=60)
@given(rounds(), shares, shares)
def test_advantages_equal_the_double_sum_of_the_paper(
    drawn: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], gamma: float, lam: float
) -> None:
    reward, value, length, finished = drawn
    advantage, returned = gae(reward, value, length, finished, gamma=gamma, lam=lam)
    for row in range(len(reward)):
        n = int(length[row])
        for t in range(reward.shape[1]):
            total = 0.0
            for later in range(t, n):
                ends = later + 1 == n and bool(finished[row])
                following = 0.0 if ends else float(value[row, later + 1])
                error = float(reward[row, later]) + gamma * following - float(value[row, later])
                total += (gamma * lam) ** (later - t) * error
            assert float(advantage[row, t]) == pytest.approx(total, abs=1e-9)
            expected = total + float(value[row, t]) if t < n else 0.0
            assert float(returned[row, t]) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(rounds(), shares)
def test_rewards_sum_to_the_score_less_the_weighted_kl(
    drawn: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], coefficient: float
) -> None:
    kl, value, length, _ = drawn
    mask = torch.arange(kl.shape[1])[None] < length[:, None]
    score = value[:, 0]
    rewards = token_rewards(score, kl, mask, length, kl_coefficient=coefficient)
    assert torch.allclose(rewards.sum(1), score - coefficient * (kl * mask).sum(1))
    assert not rewards[~mask].any()


@settings(deadline=None, max_examples=60)
@given(rounds())
def test_whitened_advantages_have_mean_zero_and_unit_variance_over_real_tokens(
    drawn: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    x, _, length, _ = drawn
    mask = torch.arange(x.shape[1])[None] < length[:, None]
    white = whiten(x, mask)[mask]
    assert float(white.mean()) == pytest.approx(0, abs=1e-6)
    if float(x[mask].var(unbiased=False)) > 1e-3:
        assert float(white.var(unbiased=False)) == pytest.approx(1, abs=1e-3)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(numbers, numbers, shares, st.integers(0, 4)), min_size=1, max_size=5))
def test_a_weight_of_n_is_n_copies(pairs: list[tuple[float, float, float, int]]) -> None:
    once = [torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True)]
    copies = [pair for pair in pairs for _ in range(pair[3])] or [(0.0, 0.0, 0.5, 0)]
    many = [torch.tensor(column, dtype=torch.float64) for column in zip(*copies, strict=True)]
    weight = torch.full((len(copies),), 1.0 if any(pair[3] for pair in pairs) else 0.0, dtype=torch.float64)
    assert torch.allclose(bradley_terry_loss(*once), bradley_terry_loss(many[0], many[1], many[2], weight))


@settings(deadline=None, max_examples=60)
@given(numbers, numbers)
def test_k3_is_never_negative_and_zero_only_where_both_agree(logprob: float, reference: float) -> None:
    found = float(k3(torch.tensor(logprob), torch.tensor(reference)))
    assert found >= 0
    assert found > 0 or abs(logprob - reference) < 1e-2


@given(st.floats(0.001, 1), st.floats(0, 50), st.floats(0.5, 10), st.integers(1, 500))
def test_the_coefficient_moves_towards_the_target_and_never_by_more_than_a_fifth_a_horizon(
    coefficient: float, observed: float, target: float, episodes: int
) -> None:
    found = next_coefficient(coefficient, observed, target=target, horizon=500, episodes=episodes)
    assert (found >= coefficient) == (observed >= target)
    assert abs(found / coefficient - 1) <= 0.2 * episodes / 500 + 1e-9


@st.composite
def groups(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, int]:
    size, count = draw(st.integers(2, 5)), draw(st.integers(1, 4))
    total = [draw(numbers) for _ in range(size * count)]
    valid = [draw(st.booleans()) for _ in range(size * count)]
    return torch.tensor(total, dtype=torch.float64), torch.tensor(valid), size


@settings(deadline=None, max_examples=60)
@given(groups(), numbers)
def test_advantages_within_a_group_sum_to_zero_and_forget_what_all_share(
    drawn: tuple[torch.Tensor, torch.Tensor, int], shift: float
) -> None:
    total, valid, size = drawn
    for estimate in (leave_one_out, group_standardised):
        found = estimate(total, valid, size)
        assert float(found.view(-1, size).sum(1).abs().max()) < 1e-6
        assert not found[~valid].any()
        assert torch.allclose(estimate(total + shift, valid, size), found, atol=1e-6)
        order = torch.arange(len(total)).view(-1, size).flip(0, 1).flatten()  # groups and their answers, reversed
        assert torch.allclose(estimate(total[order], valid[order], size), found[order], atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(rounds(), shares)
def test_rewards_to_go_are_the_advantages_of_a_critic_that_says_nothing(
    drawn: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], gamma: float
) -> None:
    reward, _, length, _ = drawn
    mask = torch.arange(reward.shape[1])[None] < length[:, None]
    nothing, ended = torch.zeros(len(reward), reward.shape[1] + 1, dtype=torch.float64), torch.ones(len(reward)).bool()
    advantage, _ = gae(reward, nothing, length, ended, gamma=gamma, lam=1.0)
    assert torch.allclose(rewards_to_go(reward, mask, gamma=gamma), advantage, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.sampled_from(["token", "response"]))
def test_weights_of_a_step_sum_to_one_and_lie_on_learned_tokens_alone(lengths: list[int], level: Level) -> None:
    mask = torch.arange(6)[None] < torch.tensor(lengths)[:, None]
    found = token_weights(mask, level)
    assert float(found.sum()) == pytest.approx(1.0 if any(lengths) else 0.0)
    assert not found[~mask].any() and bool((found[mask] > 0).all())


@given(st.floats(0.01, 20), numbers, st.floats(1.01, 5))
def test_a_dual_clip_bounds_the_loss_of_negative_advantages_and_changes_no_other(
    ratio: float, advantage: float, bound: float
) -> None:
    r, a = torch.tensor([[ratio]], dtype=torch.float64), torch.tensor([[advantage]], dtype=torch.float64)
    plain = float(clipped_policy_loss(r, a, clip=0.2))
    found = float(clipped_policy_loss(r, a, clip=0.2, dual_clip=bound))
    assert found == pytest.approx(min(plain, bound * -advantage) if advantage < 0 else plain)


@given(st.lists(st.lists(numbers, min_size=1, max_size=4), min_size=1, max_size=6), numbers, st.integers(1, 6))
def test_the_multiplier_rises_if_and_only_if_the_windowed_cost_lies_above_its_threshold(
    played: list[list[float]], threshold: float, window: int
) -> None:
    multiplier = Multiplier(initial=1.0, maximum=1e9, gain=0.0, rate=0.05, threshold=threshold, window=window)
    seen: list[float] = []
    for costs in played:
        before, seen = multiplier.log, [*seen, *costs][-window:]
        multiplier.update(costs)
        excess = sum(seen) / len(seen) - threshold
        assert (multiplier.log > before) == (excess > 0)
        assert multiplier.value > 0


@given(numbers, numbers, st.floats(0, 50))
def test_what_is_weighed_lies_between_the_reward_and_the_cost_turned_round(
    reward: float, cost: float, multiplier: float
) -> None:
    pair = torch.tensor([reward, cost], dtype=torch.float64)
    found = float(weigh(pair[0], pair[1], multiplier))
    assert min(reward, -cost) - 1e-9 <= found <= max(reward, -cost) + 1e-9
