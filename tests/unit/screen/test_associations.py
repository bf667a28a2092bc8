import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from backstay.records import Message, Pair, Prompt
from backstay.screen.associations import ATTRIBUTES, MAX_SLOPE, associations, attributes, slope
from backstay.screen.texts import PairTexts

RNG = np.random.default_rng(0)


def row(name: str, source: str, a: str, b: str, p_a: float) -> PairTexts:
    prompt = Prompt.make((Message(role="user", content=f"q {name}"),), source=source)
    pair = Pair(id=name, prompt_id=prompt.id, a=f"{name}a", b=f"{name}b", p_a=p_a, weight=1.0)
    return PairTexts(pair, prompt, a, b, a, b)


def by_length(count: int, source: str, effect: float, seed: int) -> list[PairTexts]:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        a, b = rng.integers(5, 60, 2)
        p = 1.0 / (1.0 + math.exp(-effect * (math.log1p(a) - math.log1p(b))))
        rows.append(row(f"{source}{i}", source, "w " * int(a), "w " * int(b), float(rng.random() < p)))
    return rows


def test_attributes_by_hand() -> None:
    found = dict(zip(ATTRIBUTES, attributes("- Great idea!\n- maybe **certainly** so"), strict=True))
    assert found["length"] == pytest.approx(math.log(8))
    assert found["lists"] == pytest.approx(math.log(3))
    assert found["markup"] == pytest.approx(math.log(3))
    assert found["exclamations"] == pytest.approx(math.log(2))
    assert found["flattery"] == found["certainty"] == found["doubt"] == pytest.approx(1 / 5)


def test_slope_is_the_likelihoods_maximum() -> None:
    x, p_a, weight = RNG.normal(size=300), RNG.random(300), RNG.random(300) + 0.5
    beta, _ = slope(x, p_a, weight, [str(i) for i in range(300)])
    best = minimize_scalar(lambda b: float(weight @ (np.logaddexp(0.0, b * x) - p_a * b * x)))
    assert beta == pytest.approx(best.x, abs=1e-5)


def test_error_agrees_with_repetition_and_counts_prompts_once() -> None:
    def draw(seed: int, copies: int) -> tuple[float, float]:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=200)
        y = (rng.random(200) < 1.0 / (1.0 + np.exp(-0.5 * x))).astype(float)
        names = [str(i) for i in range(200)] * copies
        return slope(np.tile(x, copies), np.tile(y, copies), np.ones(200 * copies), names)

    found = np.array([draw(seed, 1) for seed in range(300)])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.1)
    assert draw(0, 4) == pytest.approx(draw(0, 1))


def test_undefined_and_endless_slopes() -> None:
    assert all(math.isnan(v) for v in slope(np.zeros(5), np.ones(5), np.ones(5), list("abcde")))
    beta, error = slope(np.ones(5), np.ones(5), np.ones(5), list("abcde"))
    assert beta == MAX_SLOPE
    assert math.isnan(error)


def test_a_source_that_likes_length_stands_out() -> None:
    rows = by_length(400, "plain", 0.0, 1) + by_length(200, "bought", 2.0, 2)
    report = associations(rows)
    assert report["by_source"]["bought"]["slopes"]["length"]["stands_out"]
    assert report["by_source"]["plain"]["slopes"]["length"]["z"] < 0.0
    low, high = (report["by_source"]["plain"]["slopes"]["length"][key] for key in ("low", "high"))
    assert low < 0.0 < high
    assert report["all"]["length"]["low"] > 0.0
    json.dumps(report, allow_nan=False)


def test_rater_groups_and_small_parts() -> None:
    rows = by_length(300, "s", 0.0, 3)
    groups = {r.pair.id: ["even"] if i % 2 == 0 else ["odd", "few"][: 1 + (i < 20)] for i, r in enumerate(rows)}
    report = associations(rows, rater_groups=groups)
    assert set(report["by_rater_group"]) == {"even", "odd"}
    assert report["too_few"] == {"by_rater_group:few": 10}
    assert "stands_out" not in report["by_source"]["s"]["slopes"]["length"]
    assert not report["by_rater_group"]["even"]["slopes"]["length"]["stands_out"]


def test_no_pairs() -> None:
    assert associations([])["all"] == {}
