"""Held-out gold: how accurate the aggregate really is, and how far its confidence must be cooled."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit

from backstay.aggregate.fitted import Fitted
from backstay.aggregate.majority import majority_share
from backstay.aggregate.votes import Floats, Ints, Votes, tally

BINS = 10


@dataclass(frozen=True)
class HeldOut:
    """Gold items judged while their own gold answer was hidden: reliability log-odds, majority share, and truth (G)."""

    item: Ints
    log_odds: Floats
    majority: Floats
    gold: Floats


def held_out(votes: Votes, fitted: Fitted) -> HeldOut:
    """Cross-fit: in each fold the model is fitted with the gold answers of the other folds only.

    Adopted topics are kept: they were chosen with answers that their own test had hidden.
    """
    settings = fitted.settings
    voted = np.bincount(votes.item, minlength=votes.n_items) > 0
    items = np.flatnonzero(~np.isnan(votes.gold) & voted)
    if settings.folds == 0 or items.size < max(settings.folds, 2):
        items = items[:0]
    order = np.random.default_rng(settings.seed).permutation(items.size)
    log_odds = np.zeros(items.size)
    for fold in np.array_split(order, max(settings.folds, 1)) if items.size else ():
        gold = fitted.columns.gold.copy()
        gold[items[fold]] = 0
        log_odds[fold] = fitted.refit(gold).log_odds[items[fold]]
    return HeldOut(items, log_odds, majority_share(votes)[items], votes.gold[items])


def accuracy_of(p_a: Floats, gold: Floats) -> float:
    """Share of items on the right side of one half, an exact half counting half; NaN without items."""
    if gold.size == 0:
        return float("nan")
    return float(np.mean(np.where(np.abs(p_a - 0.5) < 1e-12, 0.5, (p_a > 0.5) == (gold > 0.5))))


def calibration_error(p_a: Floats, gold: Floats) -> float:
    """Expected calibration error of the confidence max(p, 1 - p) in ten equal bins of [0.5, 1]; NaN without items."""
    if gold.size == 0:
        return float("nan")
    confidence = np.maximum(p_a, 1.0 - p_a)
    right = np.where(np.abs(p_a - 0.5) < 1e-12, 0.5, (p_a > 0.5) == (gold > 0.5)).astype(np.float64)
    cell = np.minimum(((confidence - 0.5) * 2.0 * BINS).astype(np.int64), BINS - 1)
    gap = tally(cell, right - confidence, BINS)
    return float(np.sum(np.abs(gap)) / gold.size)


def fit_temperature(log_odds: Floats, gold: Floats) -> float:
    """Temperature T in [0.5, 20] that minimises the log loss of sigmoid(log_odds / T)."""
    sign = 2.0 * gold - 1.0

    def loss(log_t: float) -> float:
        return -float(np.mean(log_expit(sign * log_odds / np.exp(log_t))))

    best = minimize_scalar(loss, bounds=(np.log(0.5), np.log(20.0)), method="bounded")
    return float(np.exp(best.x)) if loss(best.x) < loss(0.0) else 1.0


def cross_cooled(checked: HeldOut, bound: float) -> Floats:
    """Probabilities of held-out gold items, each cooled by the temperature of the other half of them."""
    half = np.arange(checked.gold.size) % 2
    p_a = np.empty(checked.gold.size)
    for side in (0, 1):
        other = half != side
        temperature = fit_temperature(checked.log_odds[other], checked.gold[other]) if other.any() else 1.0
        p_a[half == side] = cooled(checked.log_odds[half == side], temperature, bound)
    return p_a


def cooled(log_odds: Floats, temperature: float, bound: float) -> Floats:
    """Probability of a from log-odds divided by the temperature and bounded."""
    p_a: Floats = expit(np.clip(log_odds / temperature, -bound, bound))
    return p_a
