import itertools
import json
import math

import pytest
import torch

from backstay.learn.rl.lagrangian import Multiplier, weigh


def multiplier(**changes: float) -> Multiplier:
    given = {"initial": 1.0, "maximum": 5.0, "rate": 0.1, "gain": 0.0, "threshold": 0.5, "window": 6} | changes
    return Multiplier(**{**given, "window": int(given["window"])})  # type: ignore[arg-type]  # by name


ROUNDS = [[1.0, 2.0, 0.0], [0.2, 0.1], [-3.0], [4.0, 4.0, 4.0, -1.0], [0.0] * 7, [0.5] * 6, [-9.0] * 3]


def test_lambda_moves_as_written_by_hand() -> None:
    made, x = multiplier(), 0.0
    seen: list[float] = []
    for costs in ROUNDS:
        seen = [*seen, *costs][-6:]
        x += 0.1 * math.exp(x) * (sum(seen) / len(seen) - 0.5)
        made.update(costs)
        assert made.mean_cost == pytest.approx(sum(seen) / len(seen), abs=1e-12)
        assert made.value == pytest.approx(math.exp(x), abs=1e-12)


def test_lambda_rises_if_and_only_if_the_windowed_mean_lies_above_the_threshold() -> None:
    made = multiplier()
    seen: list[float] = []
    for costs in ROUNDS:
        before, seen = made.value, [*seen, *costs][-6:]
        made.update(costs)
        excess = sum(seen) / len(seen) - 0.5
        assert (made.value > before) == (excess > 0)
        assert (made.value < before) == (excess < 0)
    assert ROUNDS[5] == [0.5] * 6  # a round at the threshold, where it stays


def test_the_gain_answers_at_once_and_leaves_the_integral_alone() -> None:
    damped, plain = multiplier(gain=2.0), multiplier()
    for costs in ROUNDS:
        damped.update(costs)
        plain.update(costs)
        wanted = min(plain.value * math.exp(2.0 * (plain.mean_cost - 0.5)), 5.0)
        assert damped.value == pytest.approx(wanted, abs=1e-12)


def test_the_window_forgets_the_oldest_costs() -> None:
    made = multiplier(window=2)
    made.update([100.0, 0.0, 1.0])
    assert made.mean_cost == 0.5
    assert made.value == 1.0
    made.update([])
    assert made.mean_cost == 0.5


def test_lambda_stays_positive_however_cheap_everything_is() -> None:
    made = multiplier(rate=1.0)
    values = []
    for _ in range(200):
        made.update([-5.0] * 6)
        values.append(made.value)
    assert all(a > b > 0 for a, b in itertools.pairwise(values))


def test_lambda_never_passes_its_maximum_and_is_pinned_there() -> None:
    made = multiplier()
    seen = [made.pinned]
    for _ in range(100):
        made.update([3.0] * 6)
        seen.append(made.pinned)
    assert made.value == pytest.approx(5.0, abs=1e-12)
    assert (seen[0], seen[-1]) == (False, True)
    made.update([-20.0] * 6)
    assert (made.pinned, made.value < 0.99 * 5.0) == (False, True)


def test_without_any_cost_lambda_stays() -> None:
    made = multiplier()
    made.update([])
    assert made.value == 1.0


def test_numbers_go_through_json_and_bring_everything_back() -> None:
    first, second = multiplier(), multiplier()
    for costs in ROUNDS[:4]:
        first.update(costs)
    second.update([99.0] * 3)  # what is there goes
    second.restore(json.loads(json.dumps(first.numbers())))
    assert second.value == first.value
    for costs in ROUNDS[4:]:
        first.update(costs)
        second.update(costs)
        assert (second.value, second.mean_cost) == (first.value, first.mean_cost)


@pytest.mark.parametrize("price", [0.0, 0.25, 1.0, 5.0])
def test_weighing_by_hand(price: float) -> None:
    reward, cost = torch.tensor([2.0, -1.0], dtype=torch.float64), torch.tensor([0.5, 3.0], dtype=torch.float64)
    wanted = [(2.0 - price * 0.5) / (1 + price), (-1.0 - price * 3.0) / (1 + price)]
    assert weigh(reward, cost, price).tolist() == pytest.approx(wanted, abs=1e-12)


def test_at_no_price_only_reward_counts_and_at_any_price_a_reward_of_minus_cost_is_itself() -> None:
    reward, cost = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    assert torch.equal(weigh(reward, cost, 0.0), reward)
    for price in (0.5, 1.0, 3.0):
        assert torch.allclose(weigh(reward, -reward, price), reward)
