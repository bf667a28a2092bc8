"""A linear Bradley-Terry reward on frozen features: convex, so that an attack is measured and not a training run."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from backstay.errors import StageFailed

Floats = NDArray[np.float64]
Fit = Callable[[Floats, Floats, Floats, Floats, int], Floats]
"""(features_a, features_b, p_a, weight, seed) of N pairs to weights of shape F; a score is features @ weights."""
MAX_STEPS = 100
SUFFICIENT_DECREASE = 1e-4


def fit_linear_bt(
    features_a: Floats,
    features_b: Floats,
    p_a: Floats,
    weight: Floats,
    seed: int = 0,  # noqa: ARG001  # part of Fit: fits that sample need it
    *,
    l2: float = 100.0,
) -> Floats:
    """Weights w (F) of the pairs' weighted logistic loss with soft labels and a ridge penalty, in float64.

    Minimises sum_i weight_i * cross-entropy(p_a_i, sigmoid(w . (a_i - b_i))) + l2 / 2 * |w * scale|^2, where `scale`
    is the root mean square of each feature's difference, so that the penalty treats features alike. Newton's method
    with backtracking; the problem is strictly convex, so `seed` is there for other fits and changes nothing.
    """
    difference = np.asarray(features_a, dtype=np.float64) - np.asarray(features_b, dtype=np.float64)
    if difference.ndim != 2 or not len(difference) == len(p_a) == len(weight):
        raise ValueError(
            f"N pairs need (N, F) features; got {difference.shape}, {len(p_a)} labels, {len(weight)} weights"
        )
    if l2 <= 0.0:
        raise ValueError(f"l2 must be above 0, or separable pairs have no optimum; got {l2}")
    scale = np.sqrt(np.mean(difference**2, axis=0))
    scale = np.where(scale > 0.0, scale, 1.0)
    return _newton(difference / scale, np.asarray(p_a), np.asarray(weight), l2) / scale


def _newton(x: Floats, p_a: Floats, weight: Floats, l2: float) -> Floats:
    w = np.zeros(x.shape[1])
    tolerance = 1e-9 * max(1.0, float(weight.sum()))
    for _ in range(MAX_STEPS):
        p = expit(x @ w)
        gradient = x.T @ (weight * (p - p_a)) + l2 * w
        if np.linalg.norm(gradient) <= tolerance:
            return w
        hessian = (x * (weight * p * (1.0 - p))[:, None]).T @ x
        hessian[np.diag_indices_from(hessian)] += l2
        w = w - _step(cho_solve(cho_factor(hessian), gradient), gradient, w, (x, p_a, weight, l2))
    raise StageFailed(f"the linear reward did not converge in {MAX_STEPS} steps", cure="raise redteam.l2")


def _step(direction: Floats, gradient: Floats, w: Floats, problem: tuple[Floats, Floats, Floats, float]) -> Floats:
    """The Newton step, halved until the loss goes down enough (Armijo)."""
    here, slope, length = bt_loss(w, *problem), float(gradient @ direction), 1.0
    while bt_loss(w - length * direction, *problem) > here - SUFFICIENT_DECREASE * length * slope and length > 1e-6:
        length /= 2.0
    return length * direction


def bt_loss(w: Floats, difference: Floats, p_a: Floats, weight: Floats, l2: float) -> float:
    """The penalised loss at w, with features already scaled."""
    margin = difference @ w
    return float(weight @ (np.logaddexp(0.0, margin) - p_a * margin) + 0.5 * l2 * (w @ w))
