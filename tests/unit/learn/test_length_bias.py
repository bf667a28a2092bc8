import math
import random
from statistics import fmean

import pytest
import torch

from backstay.learn.length_bias import length_correlation, length_slope


def sample(slope: float, noise: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Scores that grow by `slope` a unit of log length, around an offset a prompt."""
    draw = random.Random(seed)
    prompts = [prompt for prompt in range(20) for _ in range(4)]
    lengths = [draw.randrange(1, 60) for _ in prompts]
    offset = [draw.gauss(0, 5) for _ in range(20)]
    scores = [
        offset[p] + slope * math.log(1 + n) + noise * draw.gauss(0, 1) for p, n in zip(prompts, lengths, strict=True)
    ]
    return torch.tensor(scores), torch.tensor(lengths), prompts


def misfit(slope: float, scores: torch.Tensor, lengths: torch.Tensor, prompts: list[int]) -> float:
    """What the slope minimises, pair by pair."""
    total = 0.0
    for i, p in enumerate(prompts):
        for j in range(i):
            if prompts[j] == p:
                dx = math.log(1 + float(lengths[i])) - math.log(1 + float(lengths[j]))
                total += abs(float(scores[i]) - float(scores[j]) - slope * dx)
    return total


def test_an_exact_slope_is_found_behind_offsets_of_prompts() -> None:
    assert length_slope(*sample(0.7, 0.0)) == pytest.approx(0.7, abs=1e-4)


def test_the_slope_minimises_absolute_differences_within_prompts() -> None:
    data = sample(0.4, 1.0)
    found = length_slope(*data)
    least = misfit(found, *data)
    for step in (1e-3, 0.01, 0.1, 1.0):
        assert misfit(found - step, *data) >= least - 1e-4
        assert misfit(found + step, *data) >= least - 1e-4


def test_a_few_odd_responses_do_not_move_it() -> None:
    scores, lengths, prompts = sample(0.5, 0.05)
    scores[::20] += 100
    assert length_slope(scores, lengths, prompts) == pytest.approx(0.5, abs=0.1)


def test_equal_lengths_have_no_slope() -> None:
    scores = torch.randn(6, generator=torch.Generator().manual_seed(0))
    assert length_slope(scores, torch.full((6,), 9), [0, 0, 0, 1, 1, 1]) == 0.0
    assert length_slope(scores, torch.arange(6), [0, 1, 2, 3, 4, 5]) == 0.0
    assert length_correlation(scores, torch.full((6,), 9), [0, 0, 0, 1, 1, 1]) is None


def test_the_correlation_is_that_of_deviations_from_the_prompts_mean() -> None:
    scores, lengths, prompts = sample(0.6, 1.0, seed=3)
    x = [math.log(1 + int(n)) for n in lengths]
    y = scores.tolist()
    dx = [v - fmean(w for w, q in zip(x, prompts, strict=True) if q == p) for v, p in zip(x, prompts, strict=True)]
    dy = [v - fmean(w for w, q in zip(y, prompts, strict=True) if q == p) for v, p in zip(y, prompts, strict=True)]
    wanted = sum(a * b for a, b in zip(dx, dy, strict=True)) / math.sqrt(
        sum(a * a for a in dx) * sum(b * b for b in dy)
    )
    assert length_correlation(scores, lengths, prompts) == pytest.approx(wanted, abs=1e-6)


def test_taking_the_slope_out_takes_the_correlation_out() -> None:
    scores, lengths, prompts = sample(0.6, 0.3)
    before = length_correlation(scores, lengths, prompts)
    rest = scores - length_slope(scores, lengths, prompts) * torch.log1p(lengths.float())
    after = length_correlation(rest, lengths, prompts)
    assert before is not None and after is not None
    assert before > 0.7 and abs(after) < 0.2
