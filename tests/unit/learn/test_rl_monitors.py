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


def draw(count: int, seed: int, *, shift: float = 0.0) -> Tensor:
    """Skewed states, far from normal; `shift` moves them all along one direction."""
    normal = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    drawn: Tensor = normal.exp() + shift
    return drawn.float()


def fitted(count: int = 64, seed: int = 0) -> Novelty:
    made = Novelty(count, WIDTH)
    made.fit(draw(count, seed))
    return made


@pytest.mark.parametrize(("count", "share"), [(20, 1 / 21), (64, 1 / 65), (300, 0.01)])
def test_fresh_draws_lie_outside_as_often_as_the_test_promises(count: int, share: float) -> None:
    """Over many fits, since a limit from few rows holds on average only."""
    shares = [fitted(count, seed).share(draw(400, 1000 + seed)) for seed in range(60)]
    assert float(np.mean(shares)) == pytest.approx(share, rel=0.35)


def test_nearly_all_of_what_lies_elsewhere_is_outside() -> None:
    shares = [fitted(48, seed).share(draw(200, 1000 + seed, shift=100.0)) for seed in range(10)]
    assert float(np.mean(shares)) > 0.99


def test_a_direction_in_which_the_reference_never_varies_is_seen() -> None:
    flat = draw(40, 0)
    flat[:, -1] = 0.0
    made = Novelty(40, WIDTH)
    made.fit(flat)
    raised = flat.clone()
    raised[:, -1] = 2 * float(made.limit)
    assert (made.share(flat), made.share(raised)) == (0.0, 1.0)


def test_the_outliers_are_those_of_a_slow_loop() -> None:
    reference, found = draw(40, 3), draw(200, 4, shift=0.5)
    made = Novelty(40, WIDTH)
    made.fit(reference)
    near = [min(float((a - b).norm()) for j, b in enumerate(reference) if j != i) for i, a in enumerate(reference)]
    far = [min(float((a - b).norm()) for b in reference) > max(near) for a in found]
    assert made.outliers(found).tolist() == far
    assert made.share(found) == pytest.approx(sum(far) / 200)
    assert 0 < sum(far) < 200


@pytest.mark.parametrize("count", [0, 1, 15])
def test_too_few_rows_leave_it_off(count: int) -> None:
    made = Novelty(count, WIDTH)
    made.fit(draw(count, 0))
    assert not made.limit.isfinite()


def test_it_is_off_before_it_has_seen_a_reference() -> None:
    assert Novelty(20, WIDTH).share(draw(10, 0, shift=1e6)) == 0.0


def test_equal_rows_make_everything_else_an_outlier() -> None:
    made = Novelty(40, WIDTH)
    made.fit(torch.ones(40, WIDTH))
    assert made.share(torch.ones(3, WIDTH)) == 0.0
    assert made.share(torch.full((3, WIDTH), 1.001)) == 1.0


def test_what_is_saved_gives_the_same_shares() -> None:
    made, other = fitted(), Novelty(64, WIDTH)
    stored = io.BytesIO(save({name: x.contiguous() for name, x in made.state_dict().items()}))
    other.load_state_dict(load(stored.getvalue()))
    probe = draw(300, 5, shift=1.5)
    assert other.share(probe) == made.share(probe)
    assert 0 < made.share(probe) < 1
