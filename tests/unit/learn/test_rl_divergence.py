import itertools
import math
import random
from collections.abc import Sequence

import pytest

from backstay.learn.rl.divergence import (
    FALLEN_Z,
    STALLED_Z,
    WINDOWS,
    Probe,
    divergence,
    gold_is_at_its_best,
)
from backstay.learn.rl.watch import mean_and_error


def probes(proxy: Sequence[float], gold: Sequence[float], error: float = 0.0) -> list[Probe]:
    return [Probe(p, g, error, error) for p, g in zip(proxy, gold, strict=True)]


def slow(given: list[Probe], limit: float) -> bool:
    """The two tests of the docstring with sums and loops."""
    count = len(given)
    for width in WINDOWS:
        if count <= 2 * width:
            continue

        def mean(name: str, end: int, width: int = width) -> float:
            return float(sum(getattr(probe, name) for probe in given[end - width : end]) / width)

        def error(name: str, end: int, width: int = width) -> float:
            return math.sqrt(sum(getattr(probe, name) ** 2 for probe in given[end - width : end])) / width

        ends = range(width, count + 1)
        proxy_gain = max(mean("proxy", end) for end in ends) - given[0].proxy
        gold_gain = max(max(mean("gold", end) for end in ends) - given[0].gold, 1e-9)
        if proxy_gain <= 1e-9:
            continue
        before = count - width
        proxy, gold = mean("proxy", count) - mean("proxy", before), mean("gold", count) - mean("gold", before)
        noise = [math.hypot(error(f"{x}_error", count), error(f"{x}_error", before)) for x in ("proxy", "gold")]
        apart = proxy / proxy_gain - gold / gold_gain
        apart_noise = math.hypot(noise[0] / proxy_gain, noise[1] / gold_gain)
        if (
            proxy / proxy_gain > limit
            and gold <= 0
            and proxy > STALLED_Z * noise[0]
            and apart > STALLED_Z * apart_noise
        ):
            return True
        best = max(range(width, count - width + 1), key=lambda end: mean("gold", end))
        noise = [math.hypot(error(f"{x}_error", count), error(f"{x}_error", best)) for x in ("proxy", "gold")]
        fall = mean("gold", best) - mean("gold", count)
        if mean("proxy", count) - mean("proxy", best) >= -noise[0] and fall > 0 and fall > FALLEN_Z * noise[1]:
            return True
    return False


def test_both_tests_equal_slow_ones_on_random_walks() -> None:
    draw, verdicts = random.Random(0), []
    for _ in range(400):
        count = draw.randrange(0, 26)
        proxy, gold = [0.0], [0.0]
        for _ in range(count):
            proxy.append(proxy[-1] + draw.gauss(0.1, 0.2))
            gold.append(gold[-1] + draw.gauss(0.0, 0.2))
        given = [Probe(p, g, draw.uniform(0, 0.2), draw.uniform(0, 0.2)) for p, g in zip(proxy, gold, strict=True)]
        verdicts.append(divergence(given, 0.05) is not None)
        assert verdicts[-1] == slow(given, 0.05)
    assert 40 < sum(verdicts) < 360


def test_a_reward_that_goes_on_without_gold_by_hand() -> None:
    found = divergence(probes([0.0, *[9.0] * 3, *[10.0] * 3], [0.0, *[1.0] * 6]), 0.05)
    assert found is not None
    assert [found.window, found.proxy, found.gold] == pytest.approx([3, 0.1, 0.0])
    assert str(found) == "over the last 3 probes the reward gained 10% of all it has, gold +0%"
    assert divergence(probes([0.0, *[9.0] * 3, *[10.0] * 3], [0.0, *[1.0] * 6]), 0.1001) is None


def test_gold_that_fell_from_its_best_is_seen_though_the_reward_stands() -> None:
    proxy, gold = [0.0, *[10.0] * 9], [0.0, *[4.0] * 3, *[3.0] * 6]
    found = divergence(probes(proxy, gold), 0.05)
    assert found is not None
    assert [found.proxy, found.gold] == pytest.approx([0.0, -0.25])
    assert divergence(probes([0.0, *[10.0] * 3, *[8.0] * 6], gold), 0.05) is None  # the reward fell with it


def test_a_fall_below_everything_says_so_without_a_share() -> None:
    found = divergence(probes([0.0, *[9.0] * 3, *[10.0] * 3], [5.0, *[2.0] * 3, *[1.0] * 3]), 0.05)
    assert str(found).endswith("gold fell by more than it ever gained")


def test_what_noise_explains_is_no_divergence() -> None:
    proxy, gold = [0.0, *[9.0] * 3, *[10.0] * 3], [0.0, *[1.0] * 6]
    noise = math.sqrt(2 / 3)  # of a difference of two means of three, for an error of 1 each
    just_enough = 1.0 / (STALLED_Z * noise)
    assert divergence(probes(proxy, gold, 0.3), 0.05) is None  # the gap of shares is noise, by gold's small gain
    given = [Probe(p, g, just_enough * 0.99, 0.001) for p, g in zip(proxy, gold, strict=True)]
    assert divergence(given, 0.05) is not None
    given = [Probe(p, g, just_enough * 1.01, 0.001) for p, g in zip(proxy, gold, strict=True)]
    assert divergence(given, 0.05) is None


def test_it_is_seldom_wrong_where_both_rise_and_are_noisy() -> None:
    draw, wrong = random.Random(1), 0
    for _ in range(100):
        gains = [math.log1p(0.3 * i) for i in range(21)]
        given = [Probe(g + draw.gauss(0, 0.1), 0.3 * g + draw.gauss(0, 0.06), 0.1, 0.06) for g in gains]
        verdicts = [divergence(given[: n + 1], 0.05) is not None for n in range(21)]
        wrong += any(a and b for a, b in itertools.pairwise(verdicts))
    assert wrong <= 5


def test_it_waits_for_two_windows_after_the_first_probe() -> None:
    rising, falling = [float(i) for i in range(9)], [-float(i) for i in range(9)]
    assert [divergence(probes(rising[:n], falling[:n]), 0.05) is None for n in range(10)] == [True] * 7 + [False] * 3


def test_a_reward_that_gained_nothing_diverges_from_nothing() -> None:
    assert divergence(probes([0.0, *[-1.0] * 8], [0.0] * 9), 0.05) is None
    assert divergence([], 0.05) is None


def test_mean_and_error_over_prompts() -> None:
    values = [1.0, 3.0, 2.0, 2.0, math.nan, 7.0]
    centre, error = mean_and_error([0, 0, 1, 1, 2, 2], values)
    assert centre == 3.0
    sums = [(1 - 3) + (3 - 3), (2 - 3) + (2 - 3), 7 - 3]
    assert error == pytest.approx(math.sqrt(sum(x * x for x in sums) * 3 / 2) / 5)
    own = [1.0, 4.0, 2.0, 9.0]
    plain = math.sqrt(sum((x - 4.0) ** 2 for x in own) / 3 / 4)
    assert list(mean_and_error([0, 1, 2, 3], own)) == pytest.approx([4.0, plain])  # the usual one
    assert list(mean_and_error([5, 5], [1.0, 3.0])) == [2.0, 0.0]
    assert math.isnan(mean_and_error([1], [math.nan])[0])


def test_gold_is_at_its_best_while_its_last_five_are_the_best_five() -> None:
    gold = [0.0, 5.0, 1.0, 2.0, 3.0, 4.0, 0.0, 4.0, 5.0, 5.0]
    # means of five: 11/5, 15/5, 10/5, 13/5, 16/5, 18/5
    found = [gold_is_at_its_best(probes([0.0] * n, gold[:n])) for n in range(len(gold) + 1)]
    assert found == [True] * 5 + [True, True, False, False, True, True]
