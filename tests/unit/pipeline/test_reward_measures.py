from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from judged_material import PROMPTS, judged, material

from backstay.evaluate import expected_calibration_error, fold_preferences, wilson_interval
from backstay.learn.rater_evidence import HarmLabel
from backstay.pipeline.stages.reward_lessons import Material
from backstay.pipeline.stages.reward_measures import auroc, calibration, cost_figures, length_figures, slices


def scored() -> torch.Tensor:
    return torch.randn(3, 2 * PROMPTS, generator=torch.Generator().manual_seed(4))


def right(found: Material, raw: torch.Tensor, pair: int, a_better: bool) -> float:
    lead = float((raw[:, 2 * pair] - raw[:, 2 * pair + 1]).double().mean())
    return float((lead > 0) == a_better)


def wanted(hits: list[float], **name: Any) -> dict[str, Any]:
    low, high = wilson_interval(sum(hits), len(hits))
    return {**name, "pairs": len(hits), "accuracy": sum(hits) / len(hits), "low": low, "high": high}


def test_accuracy_by_family_and_dispute_by_hand() -> None:
    found, raw = material(), scored()
    test = [0, 1, 3, 4, 6, 8]
    hits = {i: right(found, raw, i, found.pairs[i].p_a > 0.5) for i in test}
    rows = slices(found, raw, test, judged(found, {}, []))
    assert rows["family"] == [
        wanted([hits[0], hits[3], hits[6]], family="a"),
        wanted([hits[1], hits[4]], family="b"),
        wanted([hits[8]], family="c"),
    ]
    thirds = [(0, 1), (3, 4), (6, 8)]
    assert rows["dispute"] == [wanted([hits[i], hits[j]], dispute_low=i / 10, dispute_high=j / 10) for i, j in thirds]
    assert rows["cohort"] == []


def test_equal_disputes_are_one_bin() -> None:
    found = material()
    calm = [pair.model_copy(update={"dispute": 0.0}) for pair in found.pairs]
    same = Material(found.prompts, found.responses, found.rows, calm, found.comparisons, 0)
    (row,) = slices(same, scored(), range(PROMPTS), judged(found, {}, []))["dispute"]
    assert (row["pairs"], row["dispute_low"], row["dispute_high"]) == (PROMPTS, 0.0, 0.0)


def test_a_cohort_is_measured_against_its_own_votes() -> None:
    found, raw = material(), scored()
    cohorts = {"ann": {"region": "n"}, "bob": {"region": "n"}, "cid": {"region": "s"}, "dan": {}}
    said = [
        *(("ann", 0, "a"), ("bob", 0, "a"), ("cid", 0, "b"), ("dan", 0, "b")),
        *(("ann", 1, "a"), ("bob", 1, "b")),  # evenly split
        *(("ann", 4, "="), ("bob", 4, "b"), ("cid", 5, "a")),  # pair 5 is not held out
    ]
    rows = slices(found, raw, [0, 1, 4], judged(found, cohorts, said))["cohort"]
    north = [right(found, raw, 0, a_better=True), right(found, raw, 4, a_better=False)]
    assert rows == [
        wanted(north, field="region", value="n"),
        wanted([right(found, raw, 0, a_better=False)], field="region", value="s"),
    ]


def test_calibration_before_is_that_of_the_plain_scores() -> None:
    found, raw = material(), scored()
    test = list(range(PROMPTS))
    lead = (raw[:, ::2] - raw[:, 1::2]).double().mean(0).numpy()
    label = np.array([pair.p_a for pair in found.pairs])
    rows = calibration(found, raw, test, seed=0)
    ece = expected_calibration_error(*fold_preferences(1 / (1 + np.exp(-lead)), label), low=0.5)
    assert rows["ece_before"] == pytest.approx(ece)
    chance = 1 / (1 + np.exp(-lead))
    loss = -np.mean(label * np.log(chance) + (1 - label) * np.log(1 - chance))
    assert rows["log_loss_before"] == pytest.approx(loss)
    assert rows["folds"] == 5 and rows["temperature"] > 0 and rows["ece_after"] is not None
    alone = calibration(found, raw, [3], seed=0)
    assert (alone["temperature"], alone["ece_after"], alone["folds"]) == (None, None, 0)


def test_calibration_of_leads_whose_chance_rounds_to_one() -> None:
    found = material()
    sides = [pair.model_copy(update={"p_a": float(i % 2)}) for i, pair in enumerate(found.pairs)]
    sure = Material(found.prompts, found.responses, found.rows, sides, found.comparisons, 0)
    raw = torch.zeros(1, 2 * PROMPTS)
    raw[0, ::2] = torch.tensor([2.5 if i % 2 else -2.5 for i in range(PROMPTS)])
    rows = calibration(sure, raw, range(PROMPTS), seed=0)
    assert rows["temperature"] == pytest.approx(0.05, rel=1e-3)  # so that a lead over it is 50, and its sigmoid is 1
    assert rows["log_loss_after"] == pytest.approx(np.exp(-50), rel=0.1)
    assert rows["ece_after"] == pytest.approx(0.0, abs=1e-12)


def test_length_figures_look_at_held_out_prompts_alone() -> None:
    found = material()
    length = torch.log1p(torch.tensor(found.lengths).double())
    raw = torch.stack([length, length]) + torch.arange(2 * PROMPTS) // 2
    held = {found.prompts[i].id for i in (0, 1, 2)}
    raw[:, 6:] *= -1
    assert length_figures(found, raw, held) == pytest.approx(1.0)
    everywhere = length_figures(found, raw, {prompt.id for prompt in found.prompts})
    assert everywhere is not None and everywhere < 0.9


def test_the_area_under_the_curve_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    bad, good = np.round(rng.normal(0.5, 1, 30), 1), np.round(rng.normal(0, 1, 40), 1)
    slow = np.mean([float(x > y) + 0.5 * float(x == y) for x, y in product(bad, good)])
    assert auroc(bad, good) == pytest.approx(slow)
    assert auroc(bad, good[:0]) is None


def test_cost_figures_by_hand() -> None:
    costs, shares = [1.0, -0.5, 0.0, 2.0, -1.0, 3.0], [1.0, 0.8, 0.9, 0.1, 0.0, 0.5]
    found = cost_figures(costs, [HarmLabel(p, 1.0, 1) for p in shares])
    assert (found["responses"], found["harmful"]) == (5, 3)  # an even split is neither
    low, high = wilson_interval(2, 3)
    assert found["false_safe"] == {"share": pytest.approx(2 / 3), "low": low, "high": high, "count": 3}
    assert found["false_harmful"]["share"] == pytest.approx(1 / 2)
    assert found["sign"]["share"] == pytest.approx(2 / 5)
    assert found["auroc"] == pytest.approx(3 / 6)
    assert (found["cost_harmful"], found["cost_safe"]) == (pytest.approx(0.5 / 3), pytest.approx(0.5))


def test_cost_figures_of_nothing() -> None:
    found = cost_figures([], [])
    assert found["responses"] == 0 and found["sign"] is None and found["auroc"] is None
    assert found["cost_harmful"] is None
