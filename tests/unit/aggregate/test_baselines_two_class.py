"""Dawid-Skene, one-coin and MACE against loops over dictionaries that never leave probability space."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from planted_votes import columns_from, independent_crowd

from backstay.aggregate.baselines.dawid_skene import PSEUDO_COUNT, fit_dawid_skene
from backstay.aggregate.baselines.mace import PSEUDO_COUNT as MACE_PSEUDO
from backstay.aggregate.baselines.mace import fit_mace
from backstay.aggregate.baselines.one_coin import fit_one_coin
from backstay.aggregate.baselines.two_class import TwoClassFit

ROWS = [
    (0, 0, 1), (0, 1, 1), (0, 2, -1), (1, 0, -1), (1, 1, -1), (1, 2, -1), (2, 0, 1), (2, 1, -1), (2, 2, 1),
    (3, 0, 1), (3, 1, 1), (3, 2, 1), (4, 0, -1), (4, 1, 0), (4, 2, -1), (5, 0, 1), (5, 2, -1), (6, 1, 1), (6, 0, 1),
    (7, 2, 0),
]  # fmt: skip
N_ITEMS, N_RATERS = 8, 3
GOLD = [0, 0, 0, 0, 0, -1, 0, 0]


Answers = dict[tuple[int, int], int]
SAID: Answers = {(i, r): side for i, r, side in ROWS if side}


def majority_belief(gold: list[int]) -> list[float]:
    belief = []
    for i in range(N_ITEMS):
        own = [side for (item, _), side in SAID.items() if item == i]
        belief.append((own.count(1) / len(own) if own else math.nan) if not gold[i] else float(gold[i] > 0))
    return belief


def rates(belief: list[float], one_coin: bool) -> dict[tuple[int, int], float]:
    """P(right) for each rater and truth."""
    right = {}
    for r in range(N_RATERS):
        n = {(t, s): PSEUDO_COUNT for t in (1, -1) for s in (1, -1)}
        for (i, who), s in SAID.items():
            if who == r:
                n[1, s] += belief[i]
                n[-1, s] += 1.0 - belief[i]
        for t in (1, -1):
            hits = n[t, t] + n[-t, -t] - PSEUDO_COUNT if one_coin else n[t, t]
            misses = n[t, -t] + n[-t, t] - PSEUDO_COUNT if one_coin else n[t, -t]
            right[r, t] = hits / (hits + misses)
    return right


def posterior(item: int, balance: float, right: dict[tuple[int, int], float]) -> float:
    weight = {1: balance, -1: 1.0 - balance}
    for (i, r), s in SAID.items():
        if i == item:
            weight = {t: w * (right[r, t] if s == t else 1.0 - right[r, t]) for t, w in weight.items()}
    return weight[1] / (weight[1] + weight[-1])


def reference(steps: int, gold: list[int], one_coin: bool) -> list[float]:
    """P(a is better) after `steps` E-steps; NaN where nothing was said and nothing is known."""
    belief, balance = majority_belief(gold), 0.5
    for step in range(steps):
        right = rates(belief, one_coin)
        known = [p for p in belief if not math.isnan(p)]
        if step:
            balance = (sum(known) + PSEUDO_COUNT) / (len(known) + 2 * PSEUDO_COUNT)
        for i in range(N_ITEMS):
            if not gold[i] and not math.isnan(belief[i]):
                belief[i] = posterior(i, balance, right)
    return belief


@pytest.mark.parametrize("gold", [[0] * N_ITEMS, GOLD])
@pytest.mark.parametrize(("fit", "one_coin"), [(fit_dawid_skene, False), (fit_one_coin, True)])
def test_posteriors_equal_those_of_plain_loops(
    fit: Callable[..., TwoClassFit], one_coin: bool, gold: list[int]
) -> None:
    found = fit(columns_from(ROWS, n_items=N_ITEMS, n_raters=N_RATERS, gold=gold))
    expected = np.array(reference(len(found.objective), gold, one_coin))
    judged = ~np.isnan(expected)
    assert found.converged
    assert 1.0 / (1.0 + np.exp(-found.log_odds[judged])) == pytest.approx(expected[judged], abs=1e-9)
    assert np.all(found.log_odds[~judged] == 0.0)


def likelihood_by_enumeration(knows: np.ndarray, says_a: np.ndarray) -> float:
    """Log-likelihood of ROWS under MACE, summing over every truth and over who knew."""
    total = 0.0
    for i in range(N_ITEMS):
        own = [(r, s) for item, r, s in ROWS if item == i and s]
        probability = 0.0
        for truth in (1, -1):
            for mask in range(2 ** len(own)):
                part = 0.5
                for place, (r, s) in enumerate(own):
                    knew = bool(mask >> place & 1)
                    part *= (
                        knows[r] * (s == truth) if knew else (1 - knows[r]) * (says_a[r] if s > 0 else 1 - says_a[r])
                    )
                probability += part
        total += math.log(probability)
    return total


def test_the_objective_of_mace_by_enumeration_and_at_its_top() -> None:
    fit = fit_mace(columns_from(ROWS, n_items=N_ITEMS, n_raters=N_RATERS), seed=1)

    def objective(parameters: np.ndarray) -> float:
        prior = MACE_PSEUDO * float(np.log(parameters).sum() + np.log1p(-parameters).sum())
        return likelihood_by_enumeration(parameters[:, 0], parameters[:, 1]) + prior

    top = objective(fit.parameters)
    assert fit.objective[-1] == pytest.approx(top, abs=1e-6)
    for rater in range(N_RATERS):
        for which in (0, 1):
            for step in (-0.02, 0.02):
                moved = fit.parameters.copy()
                moved[rater, which] = np.clip(moved[rater, which] + step, 1e-6, 1.0 - 1e-6)
                assert objective(moved) < top


def test_restarts_of_mace_keep_the_likeliest() -> None:
    columns, _ = independent_crowd(11, [0.9, 0.55, 0.7, 0.6, 0.52, 0.8], items=40, per_item=2)
    single = max(fit_mace(columns, seed, restarts=1).objective[-1] for seed in range(3))
    assert fit_mace(columns, 0, restarts=30).objective[-1] >= single - 0.05


@pytest.mark.parametrize("fit", [fit_dawid_skene, fit_one_coin, lambda columns: fit_mace(columns, 0, restarts=1)])
def test_the_objective_never_falls_and_the_posterior_rests(fit: Callable[..., TwoClassFit]) -> None:
    accuracy = [0.95, 0.9, 0.3, 0.55, 0.6, 0.7, 0.65, 0.8]
    columns, truth = independent_crowd(12, accuracy, items=150, per_item=4, tie_rate=0.1)
    found = fit(columns._replace(gold=np.where(np.arange(150) < 10, truth, 0).astype(np.int8)))
    assert found.converged
    assert len(found.objective) > 3
    assert np.diff(found.objective).min() > -1e-9


def test_full_confusion_sees_what_one_coin_cannot() -> None:
    """A rater who always says a is right whenever a is better, and tells nothing."""
    rng = np.random.default_rng(13)
    truth = rng.choice([-1, 1], 400)
    rows = [(i, 3, 1) for i in range(400)]
    for rater in range(3):
        rows += [(i, rater, int(t if rng.random() < 0.8 else -t)) for i, t in enumerate(truth)]
    fit = fit_dawid_skene(columns_from(rows, n_items=400, n_raters=4))
    assert fit.parameters[3] == pytest.approx(np.array([[1.0, 0.0], [1.0, 0.0]]), abs=0.01)
    assert fit.parameters[0] == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8]]), abs=0.08)
