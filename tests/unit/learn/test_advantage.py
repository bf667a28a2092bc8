import math
import statistics
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from backstay.learn.advantage import (
    explained_variance,
    gae,
    group_standardised,
    leave_one_out,
    rewards_to_go,
    token_rewards,
    whiten,
)

LENGTHS = (5, 1, 3, 5, 2)
FINISHED = (True, True, False, False, True)


def ragged(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    length = torch.tensor(LENGTHS)
    inside = torch.arange(5)[None] < length[:, None]
    reward = torch.randn(5, 5, generator=generator, dtype=torch.float64) * inside
    value = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    return reward, value, length, torch.tensor(FINISHED)


def slow_advantage(reward: list[float], value: list[float], finished: bool, gamma: float, lam: float) -> list[float]:
    """Every advantage as its own sum of discounted errors; `value` has one entry more than `reward`."""
    after = [*value[: len(reward)], 0.0 if finished else value[len(reward)]]
    found = []
    for start in range(len(reward)):
        total = 0.0
        for step in range(start, len(reward)):
            error = reward[step] + gamma * after[step + 1] - after[step]
            total += (gamma * lam) ** (step - start) * error
        found.append(total)
    return found


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.7), (1.0, 1.0), (0.97, 0.0)])
def test_gae_equals_a_double_loop(gamma: float, lam: float) -> None:
    reward, value, length, finished = ragged()
    advantage, returned = gae(reward, value, length, finished, gamma=gamma, lam=lam)
    for row, count in enumerate(LENGTHS):
        own = value[row].tolist()
        slow = slow_advantage(reward[row, :count].tolist(), own, FINISHED[row], gamma, lam)
        assert advantage[row, :count].tolist() == pytest.approx(slow, abs=1e-12)
        assert returned[row, :count].tolist() == pytest.approx([a + v for a, v in zip(slow, own[:count], strict=True)])
        assert advantage[row, count:].abs().sum() == 0
        assert returned[row, count:].abs().sum() == 0


def test_undiscounted_returns_are_sums_of_what_follows() -> None:
    reward, value, length, finished = ragged(1)
    _, returned = gae(reward, value, length, finished, gamma=1.0, lam=1.0)
    for row, count in enumerate(LENGTHS):
        bootstrap = 0.0 if FINISHED[row] else float(value[row, count])
        for t in range(count):
            assert float(returned[row, t]) == pytest.approx(float(reward[row, t:count].sum()) + bootstrap, abs=1e-12)


def test_only_a_truncated_response_sees_the_value_beyond_its_end() -> None:
    reward, value, length, finished = ragged(2)
    before, _ = gae(reward, value, length, finished, gamma=1.0, lam=0.95)
    beyond = value.clone()
    for row, count in enumerate(LENGTHS):
        beyond[row, count:] += 7.0
    after, _ = gae(reward, beyond, length, finished, gamma=1.0, lam=0.95)
    changed = (before - after).abs().sum(1) > 0
    assert changed.tolist() == [not done for done in FINISHED]
    last = [float(after[row, LENGTHS[row] - 1] - before[row, LENGTHS[row] - 1]) for row in (2, 3)]
    assert last == pytest.approx([7.0, 7.0])


def test_the_score_lands_on_the_last_response_token() -> None:
    _, _, length, _ = ragged()
    mask = torch.arange(5)[None] < length[:, None]
    generator = torch.Generator().manual_seed(3)
    kl, score = torch.randn(5, 5, generator=generator), torch.randn(5, generator=generator)
    reward = token_rewards(score, kl, mask, length, kl_coefficient=0.1)
    for row, count in enumerate(LENGTHS):
        for t in range(5):
            wanted = -0.1 * float(kl[row, t]) if t < count else 0.0
            wanted += float(score[row]) if t == count - 1 else 0.0
            assert float(reward[row, t]) == pytest.approx(wanted, abs=1e-6)


def test_rewards_without_a_penalty_sum_to_the_score() -> None:
    _, _, length, _ = ragged()
    mask = torch.arange(5)[None] < length[:, None]
    score = torch.arange(5.0)
    reward = token_rewards(score, torch.full((5, 5), 9.0), mask, length, kl_coefficient=0.0)
    assert torch.equal(reward.sum(1), score)


def test_whitening_counts_real_tokens_of_the_whole_batch() -> None:
    x = torch.tensor([[1.0, 2.0, 99.0], [6.0, 99.0, 99.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    white = whiten(x, mask)
    deviation = math.sqrt(((1 - 3) ** 2 + (2 - 3) ** 2 + (6 - 3) ** 2) / 3)
    assert white[mask].tolist() == pytest.approx([-2 / deviation, -1 / deviation, 3 / deviation], abs=1e-8)
    assert white[~mask].tolist() == [0.0, 0.0, 0.0]


def test_whitening_one_value_gives_zero_not_infinity() -> None:
    assert whiten(torch.full((2, 2), 3.0), torch.ones(2, 2).bool()).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_explained_variance_by_hand() -> None:
    returned = torch.tensor([[1.0, 2.0, 3.0, 50.0]], dtype=torch.float64)
    value = torch.tensor([[1.0, 2.0, 2.0, -50.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True, False]])
    errors_variance = (2 * (1 / 3) ** 2 + (2 / 3) ** 2) / 3
    assert explained_variance(value, returned, mask) == pytest.approx(1 - errors_variance / (2 / 3))


def test_explained_variance_of_the_extremes() -> None:
    returned, mask = torch.tensor([[1.0, 4.0, 2.0]]), torch.ones(1, 3).bool()
    assert explained_variance(returned + 3, returned, mask) == pytest.approx(1.0)  # a constant offset is no variance
    assert explained_variance(torch.zeros(1, 3), returned, mask) == pytest.approx(0.0)
    assert explained_variance(-returned, returned, mask) == pytest.approx(-3.0)
    assert explained_variance(returned, torch.ones(1, 3), mask) == 0.0
    assert explained_variance(returned, returned, ~mask) == 0.0


TOTALS = [2.0, -1.0, 0.5, 4.0, 3.0, 3.0, 3.0, 3.0, 7.0, 1.0, -2.0, 0.0]
VALIDITY = [
    [True] * 12,
    [True, False, True, True, False, True, True, False, True, True, True, False],
    [False, False, True, False] + [True] * 8,  # one answer alone in its group
    [False] * 4 + [True, True, False, False] + [True] * 4,
]


def compared(row: int, valid: list[bool]) -> list[float]:
    """Totals of the valid answers to the same prompt, the row's own left out."""
    start = row // 4 * 4
    return [TOTALS[i] for i in range(start, start + 4) if i != row and valid[i]]


@pytest.mark.parametrize("valid", VALIDITY)
def test_leave_one_out_subtracts_the_mean_of_the_others(valid: list[bool]) -> None:
    total = torch.tensor(TOTALS, dtype=torch.float64)
    found = leave_one_out(total.masked_fill(~torch.tensor(valid), float("nan")), torch.tensor(valid), 4)
    for row in range(12):
        others = compared(row, valid)
        wanted = TOTALS[row] - statistics.fmean(others) if valid[row] and others else 0.0
        assert float(found[row]) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("valid", VALIDITY)
def test_group_standardised_divides_by_the_deviation_of_the_group(valid: list[bool]) -> None:
    total = torch.tensor(TOTALS, dtype=torch.float64)
    found = group_standardised(total.masked_fill(~torch.tensor(valid), float("nan")), torch.tensor(valid), 4)
    for row in range(12):
        group = [*compared(row, valid), TOTALS[row]]
        known = valid[row] and len(group) > 1
        wanted = (TOTALS[row] - statistics.fmean(group)) / (statistics.stdev(group) + 1e-4) if known else 0.0
        assert float(found[row]) == pytest.approx(wanted, abs=1e-12)


def test_a_group_that_agrees_teaches_nothing() -> None:
    total, valid = torch.tensor(TOTALS, dtype=torch.float64), torch.ones(12).bool()
    assert leave_one_out(total, valid, 4)[4:8].tolist() == [0.0] * 4
    assert group_standardised(total, valid, 4)[4:8].tolist() == [0.0] * 4


@pytest.mark.parametrize("estimate", [leave_one_out, group_standardised])
def test_what_all_answers_to_a_prompt_share_does_not_count(estimate: Callable[..., Tensor]) -> None:
    total, valid = torch.tensor(TOTALS, dtype=torch.float64), torch.ones(12).bool()
    shift = torch.tensor([10.0, -3.0, 0.25], dtype=torch.float64).repeat_interleave(4)
    assert torch.allclose(estimate(total + shift, valid, 4), estimate(total, valid, 4), atol=1e-12)
    assert float(estimate(total, valid, 4).view(3, 4).sum(1).abs().max()) < 1e-12


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.0])
def test_rewards_to_go_equal_a_double_loop(gamma: float) -> None:
    reward, _, length, _ = ragged(4)
    mask = torch.arange(5)[None] < length[:, None]
    loud = reward.masked_fill(~mask, 99.0)
    found = rewards_to_go(loud, mask, gamma=gamma)
    for row, count in enumerate(LENGTHS):
        own = reward[row, :count].tolist()
        slow = [sum(gamma ** (k - t) * own[k] for k in range(t, count)) for t in range(count)]
        assert found[row, :count].tolist() == pytest.approx(slow, abs=1e-12)
        assert found[row, count:].abs().sum() == 0
