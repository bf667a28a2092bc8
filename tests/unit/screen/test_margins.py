import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import approx_fprime
from scipy.special import expit

from backstay.records import Message, Pair, Prompt
from backstay.screen.margins import (
    Calibration,
    calibrate,
    cross_fitted_margins,
    fit_sparse_bt,
    group_folds,
)
from backstay.screen.texts import PairTexts

Floats = NDArray[np.float64]
RNG = np.random.default_rng(7)
GOOD, BAD = ("calm", "plain", "honest", "short"), ("loud", "vague", "boast", "drift")
FILL = [f"w{n}" for n in range(30)]


def bt_loss(w: Floats, x: Floats, p_a: Floats, weight: Floats, ridge: float) -> float:
    """The loss written out pair by pair."""
    total = 0.5 * ridge * sum(float(value) ** 2 for value in w)
    for row, label, mass in zip(x, p_a, weight, strict=True):
        p = 1.0 / (1.0 + np.exp(-float(row @ w)))
        total -= mass * (label * np.log(p) + (1.0 - label) * np.log(1.0 - p))
    return float(total)


def pairs(count: int, prompts: int, seed: int = 0, flip: float = 0.0, dimension: str = "overall") -> list[PairTexts]:
    """Answers with some good words beat answers with some bad ones, but for the flipped; how many differs by pair."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        prompt = Prompt.make((Message(role="user", content=f"topic {i % prompts}"),), source="test")
        telling = int(rng.integers(1, 7))
        good, bad = (
            " ".join(map(str, rng.permutation([*rng.choice(words, telling), *rng.choice(FILL, 12 - 2 * telling)])))
            for words in (GOOD, BAD)
        )
        a_good = bool(rng.random() < 0.5)
        p_a = float(a_good != (rng.random() < flip))
        a, b = (good, bad) if a_good else (bad, good)
        chosen, rejected = (a, b) if p_a > 0.5 else (b, a)
        pair = Pair.model_validate(
            {"id": f"p{i}", "prompt_id": prompt.id, "a": f"{i}a", "b": f"{i}b", "p_a": p_a, "weight": 1.0}
            | {"dimension": dimension, "provenance": {"a_good": a_good}}
        )
        rows.append(PairTexts(pair, prompt, a, b, chosen, rejected))
    return rows


def test_fit_is_stationary_and_beats_its_neighbours() -> None:
    x, weight = RNG.normal(size=(80, 4)), RNG.random(80) + 0.5
    p_a = RNG.random(80)
    w = fit_sparse_bt(sparse.csr_array(x), p_a, weight, ridge=2.0)

    def loss(v: Floats) -> float:
        return bt_loss(v, x, p_a, weight, 2.0)

    slope = approx_fprime(w, loss, 1e-6)
    assert np.abs(slope).max() < 1e-2
    here = bt_loss(w, x, p_a, weight, 2.0)
    assert all(bt_loss(w + step, x, p_a, weight, 2.0) > here for step in 0.1 * np.vstack([np.eye(4), -np.eye(4)]))


def test_offset_is_part_of_the_margin() -> None:
    offset = RNG.normal(size=200)
    p_a = expit(offset)
    w = fit_sparse_bt(sparse.csr_array(RNG.normal(size=(200, 2))), p_a, np.ones(200), ridge=1.0, offset=offset)
    assert np.abs(w).max() < 1e-3


def test_known_noise_recovers_the_clean_slope() -> None:
    x = np.linspace(-3.0, 3.0, 400)[:, None]
    labelled = 0.2 + 0.6 * expit(1.5 * x[:, 0])
    table = sparse.csr_array(x)
    aware = fit_sparse_bt(table, labelled, np.ones(400), ridge=1e-6, noise=0.2)
    naive = fit_sparse_bt(table, labelled, np.ones(400), ridge=1e-6)
    assert aware[0] == pytest.approx(1.5, abs=1e-3)
    assert naive[0] < 1.0


def test_folds_keep_groups_together() -> None:
    groups = [f"g{n % 7}" for n in range(50)]
    fold, count = group_folds(groups, 3, 0)
    assert count == 3
    assert set(fold.tolist()) == {0, 1, 2}
    assert all(len({int(f) for f, g in zip(fold, groups, strict=True) if g == name}) == 1 for name in set(groups))
    assert group_folds(["one"] * 5, 3, 0)[1] == 0


def test_calibration_finds_scale_and_noise() -> None:
    margin = np.linspace(-6.0, 6.0, 4001)
    is_a = Calibration(2.0, 0.15).labelled(margin)
    found = calibrate(margin, is_a, np.ones(len(margin)))
    assert found.scale == pytest.approx(2.0, abs=0.02)
    assert found.noise == pytest.approx(0.15, abs=0.002)


def test_honest_doubt_is_no_noise() -> None:
    margin = np.linspace(-1.0, 1.0, 4001)
    found = calibrate(margin, np.asarray(expit(0.7 * margin)), np.ones(len(margin)))
    assert found.noise == 0.0
    assert found.scale == pytest.approx(0.7, abs=0.01)


def test_margins_are_out_of_fold() -> None:
    """Turning the labels of one prompt leaves the text margins of that prompt as they are, up to their scale."""
    rows = pairs(200, 10)
    target = rows[0].pair.prompt_id
    turned = [
        PairTexts(row.pair.model_copy(update={"p_a": 1.0 - row.pair.p_a}), row.prompt, row.a, row.b, row.b, row.a)
        if row.pair.prompt_id == target
        else row
        for row in rows
    ]
    fold, _ = group_folds([row.pair.prompt_id for row in rows], 5, 0)
    before, after = (cross_fitted_margins(given, use_items=False).margin for given in (rows, turned))
    mine = fold == fold[0]
    ratio = after / before
    assert np.allclose(ratio[mine], ratio[mine][0], rtol=1e-6)
    assert not np.allclose(ratio[~mine], ratio[~mine][0], rtol=1e-3)


def test_margins_find_the_better_answer_under_flips() -> None:
    rows = pairs(1500, 30, flip=0.15)
    found = cross_fitted_margins(rows)
    truth = np.array([row.pair.provenance["a_good"] for row in rows])
    assert np.mean((found.margin > 0.0) == truth) > 0.95
    assert found.noise == pytest.approx(0.15, abs=0.05)
    assert found.items == 0
    assert (np.abs(found.labelled - 0.5) <= np.abs(found.preferred - 0.5) + 1e-12).all()


def test_shared_answers_tell_what_texts_do_not() -> None:
    """Twelve answers of equal words and a secret order: only the other pairs of an answer can tell it."""
    rng = np.random.default_rng(3)
    prompt_of = [Prompt.make((Message(role="user", content=f"t{t}"),), source="test") for t in range(2)]
    rows = []
    for t, prompt in enumerate(prompt_of):
        for i in range(12):
            for j in range(i):
                a, b = (i, j) if rng.random() < 0.5 else (j, i)
                pair = Pair(
                    id=f"{t}-{i}-{j}", prompt_id=prompt.id, a=f"{t}/{a}", b=f"{t}/{b}", p_a=float(a > b), weight=1.0
                )
                rows.append(PairTexts(pair, prompt, f"text v{a}", f"text v{b}", "", ""))
    found = cross_fitted_margins(rows, use_items=True, least_pairs=1000)
    truth = np.array([row.pair.p_a > 0.5 for row in rows])
    assert found.items == 24
    assert np.mean((found.margin > 0.0) == truth) > 0.75
    blind = cross_fitted_margins(rows, use_items=False, least_pairs=1000)
    assert not blind.margin.any()


def test_one_prompt_says_nothing() -> None:
    found = cross_fitted_margins(pairs(40, 1))
    assert found.folds == 0
    assert (found.preferred == 0.5).all()


def test_no_pairs() -> None:
    assert cross_fitted_margins([]).margin.shape == (0,)


def test_dimensions_do_not_mix() -> None:
    helpful = pairs(200, 10, dimension="helpful")
    opposite = [
        PairTexts(row.pair.model_copy(update={"p_a": 1.0 - row.pair.p_a}), row.prompt, row.a, row.b, row.b, row.a)
        for row in pairs(200, 10, seed=1, dimension="harmless")
    ]
    both = cross_fitted_margins([*helpful, *opposite]).margin
    assert np.allclose(both[:200], cross_fitted_margins(helpful).margin)
