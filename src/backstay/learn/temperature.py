"""The temperature that makes preference probabilities worth their face value. No torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Floats = NDArray[np.float64]
LOWEST, HIGHEST = 0.05, 20.0


def log_loss(lead: Floats, p_a: Floats) -> float:
    """Mean cross-entropy between sigmoid(lead) and soft labels, in nats a pair."""
    return float(np.mean(np.logaddexp(0.0, lead) - p_a * lead))


def fit_temperature(lead: Floats, p_a: Floats) -> float:
    """T in [0.05, 20] that minimises the log loss of sigmoid(lead / T); Guo et al. 2017, section 4.2.

    The loss is convex in 1 / T. Labels that the lead always gets right have no finite optimum: T ends at the bound.
    """
    best = minimize_scalar(
        lambda inverse: log_loss(inverse * lead, p_a),
        bounds=(1 / HIGHEST, 1 / LOWEST),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return float(1 / best.x)


def cross_fitted(lead: Floats, p_a: Floats, group: Sequence[Any], *, folds: int, seed: int) -> tuple[Floats, int]:
    """Each pair's lead over a temperature that was fitted to the pairs of other folds, and the number of folds.

    Folds are made of whole groups (prompts). With a single group there is nothing to fit to: T is 1 and folds 0.
    """
    names = sorted(set(group))
    folds = min(folds, len(names))
    if folds < 2:
        return lead, 0
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[index]: place % folds for place, index in enumerate(order)}
    fold = np.array([fold_of[name] for name in group])
    scaled = np.empty_like(lead)
    for own in range(folds):
        inside = fold == own
        scaled[inside] = lead[inside] / fit_temperature(lead[~inside], p_a[~inside])
    return scaled, folds
