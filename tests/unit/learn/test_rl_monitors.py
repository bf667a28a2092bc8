import io

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from backstay.learn.rl.monitors import Novelty, repetition

WIDTH = 24


@pytest.mark.parametrize(
    ("tokens", "n", "share"),
    [
        ([], 3, 0.0),
        ([1, 1, 1], 3, 0.0),  # one 3-gram repeats nothing
        ([1, 1, 1, 1], 3, 0.5),
        ([7] * 12, 3, 9 / 10),
        ([1, 2, 3, 4, 5, 6], 3, 0.0),
        ([1, 2, 3, 1, 2, 3], 3, 1 / 4),  # 123 231 312 123
        ([1, 2, 1, 2, 1, 2], 2, 3 / 5),
        ([5, 5], 1, 0.5),
    ],
)
def test_repetition_by_hand(tokens: list[int], n: int, share: float) -> None:
    assert repetition(tokens, n) == pytest.approx(share)


def test_repetition_equals_a_count_of_positions_whose_gram_stood_before() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        tokens = torch.randint(0, 3, (15,), generator=generator).tolist()
        grams = [tuple(tokens[i : i + 3]) for i in range(13)]
        assert repetition(tokens) == pytest.approx(sum(gram in grams[:i] for i, gram in enumerate(grams)) / 13)


def draw(count: int, seed: int, *, shift: float = 0.0, decay: float = 0.7) -> Tensor:
    """Correlated Gaussian states off the origin, whose deviations fall by `decay` a direction; shift in deviations."""
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(99), dtype=torch.float64))[
        0
    ]
    spread = decay ** torch.arange(WIDTH, dtype=torch.float64)
    normal = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    drawn: Tensor = (normal + shift) * spread @ turn + 5.0
    return drawn


def fitted(count: int = 64, seed: int = 0, decay: float = 0.7) -> Novelty:
    made = Novelty(WIDTH)
    made.fit(draw(count, seed, decay=decay))
    return made


@pytest.mark.parametrize("count", [40, 64, 200])
def test_about_one_in_a_hundred_fresh_draws_lies_outside(count: int) -> None:
    """Over many fits, since a limit from few rows must hold on average."""
    shares = [fitted(count, seed).share(draw(2000, 1000 + seed)) for seed in range(30)]
    assert 0.006 < float(np.mean(shares)) < 0.013


@pytest.mark.parametrize("decay", [0.9, 1.0])
def test_fewer_lie_outside_where_many_directions_vary_alike(decay: float) -> None:
    shares = [fitted(48, seed, decay).share(draw(500, 1000 + seed, decay=decay)) for seed in range(30)]
    assert float(np.mean(shares)) < 0.006


def test_nearly_all_of_what_lies_elsewhere_is_outside() -> None:
    shares = [fitted(48, seed).share(draw(500, 1000 + seed, shift=3.0)) for seed in range(10)]
    assert float(np.mean(shares)) > 0.99
    assert fitted().share(draw(500, 1) * torch.tensor(8.0)) > 0.99


def test_the_share_counts_rows() -> None:
    made, inside, outside = fitted(), draw(64, 0).mean(0, keepdim=True), draw(1, 1, shift=500.0)
    assert made.share(torch.cat((inside, outside, inside, inside))) == 0.25


def test_the_distance_is_that_of_a_plain_computation() -> None:
    rows = draw(50, 3)
    made = Novelty(WIDTH)
    made.fit(rows)
    covariance = np.cov(rows.numpy().T)
    values, vectors = np.linalg.eigh(covariance)
    leading, found = vectors[:, -8:], draw(400, 4).numpy()
    scores = (found - rows.numpy().mean(0)) @ leading
    distance = (scores**2 / values[-8:]).sum(1)
    assert made.share(torch.from_numpy(found)) == pytest.approx(float((distance > float(made.limit)).mean()))


@pytest.mark.parametrize("count", [0, 1, 31])
def test_too_few_rows_leave_it_off(count: int) -> None:
    made = fitted(count)
    assert not made.limit.isfinite()
    assert made.share(draw(100, 1, shift=1e6)) == 0.0


def test_states_narrower_than_its_directions_leave_it_off() -> None:
    made = Novelty(5)
    made.fit(torch.randn(100, 5, generator=torch.Generator().manual_seed(0)))
    assert made.share(torch.full((3, 5), 1e6)) == 0.0


def test_it_is_off_before_it_has_seen_a_reference() -> None:
    assert Novelty(WIDTH).share(draw(10, 0, shift=1e6)) == 0.0


def test_equal_rows_make_everything_else_an_outlier_without_dividing_by_zero() -> None:
    made = Novelty(WIDTH)
    made.fit(torch.ones(40, WIDTH))
    assert made.share(torch.ones(3, WIDTH)) == 0.0
    assert made.limit.isfinite()


def test_what_is_saved_gives_the_same_shares() -> None:
    made, other = fitted(), Novelty(WIDTH)
    stored = io.BytesIO(save({name: x.contiguous() for name, x in made.state_dict().items()}))
    other.load_state_dict(load(stored.getvalue()))
    probe = draw(300, 5, shift=1.5)
    assert other.share(probe) == made.share(probe)
    assert 0 < made.share(probe) < 1
