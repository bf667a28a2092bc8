"""Scores of sources from pairwise votes: Bradley-Terry with a slope for each rater, plain and robust.

P(a beats b) = sigmoid(slope_r (score_a - score_b)), a tie half a win. docs/aggregate/rigging.md.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.columns import Index
from backstay.aggregate.compiled import compiled
from backstay.aggregate.kernels import sigmoid
from backstay.aggregate.robust import MAD_TO_DEVIATION
from backstay.aggregate.votes import Floats, tally

RIDGE = 0.01
"""Weight of the squared scores, as in the Bradley-Terry baseline."""

MAX_STEPS = 50
SLOPE_VARIANCE = 0.25
"""Prior variance of a rater's slope about 1."""

MAX_SLOPE = 3.0
SLOPE_STEPS = 4
MEDIAN_ROUNDS, WEIGHT_ROUNDS = 4, 6
BIWEIGHT = 4.0
"""Offsets this many standard deviations from the centre count for nothing (Beaton & Tukey 1974)."""

LEAST_TASTE = 0.1
"""Standard deviation of honest offsets assumed at least, where raters with few votes are judged together."""

Flags = NDArray[np.bool_]


class Comparisons(NamedTuple):
    """M votes between two sources: `score` 1 for the first, 0 for the second, 0.5 for a tie; `share` as in votes."""

    rater: Index
    first: Index
    second: Index
    score: Floats
    share: Floats


class Cells(NamedTuple):
    """Of R raters and S sources: sum of `residual`, its `information` (variance), and `votes`, weighted by share."""

    residual: Floats
    information: Floats
    votes: Floats


class Centred(NamedTuple):
    """`centre` (S) of the offsets, `offset` (R, S) from it, how far honest ones scatter, `spread` (R, S), and `taste`.

    `spread` is what sampling and taste make together; `taste` is the standard deviation that all sources share.
    """

    centre: Floats
    offset: Floats
    spread: Floats
    taste: float


def fit_scores(votes: Comparisons, slope: Floats, keep: Floats, start: Floats) -> Floats:
    """Scores (S, mean 0) of the ridge-penalised likelihood by Newton's method.

    A vote weighs its share times the less kept one of its rater's two cells (`keep`, R x S, within 0 and 1).
    """
    scores = start.copy()
    gradient, hessian = np.empty(scores.size), np.empty((scores.size, scores.size))
    for _ in range(MAX_STEPS if scores.size else 0):
        derivatives(votes, slope, keep, scores, gradient, hessian)
        step = np.clip(np.linalg.solve(hessian, gradient), -2.0, 2.0)
        scores += step
        if np.max(np.abs(step)) < 1e-8:
            break
    result: Floats = scores - scores.sum() / max(scores.size, 1)
    return result


def fit_slopes(votes: Comparisons, scores: Floats, start: Floats) -> Floats:
    """Posterior mode of each rater's slope (R) under N(1, SLOPE_VARIANCE), within MAX_SLOPE of zero."""
    slope = start.copy()
    difference = scores[votes.first] - scores[votes.second]
    rater = votes.rater.astype(np.int64)
    for _ in range(SLOPE_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(slope[rater] * difference, -30.0, 30.0)))
        gradient = tally(rater, votes.share * difference * (votes.score - p), slope.size)
        curvature = tally(rater, votes.share * difference**2 * p * (1.0 - p), slope.size)
        step = (gradient - (slope - 1.0) / SLOPE_VARIANCE) / (curvature + 1.0 / SLOPE_VARIANCE)
        slope = np.clip(slope + np.clip(step, -1.0, 1.0), -MAX_SLOPE, MAX_SLOPE)
    return slope


def cells_of(votes: Comparisons, slope: Floats, scores: Floats, tie: float) -> Cells:
    """What each rater gave each source beyond expectation, where a share `tie` of all votes are ties."""
    cells = Cells(*(np.zeros((slope.size, scores.size)) for _ in range(3)))
    residuals(votes, slope, scores, tie, cells)
    return cells


def dense_cells(votes: Floats, min_votes: float, min_raters: int) -> Flags:
    """Cells (R, S) of `min_votes` on sources with at least `min_raters` such cells."""
    dense = votes >= min_votes
    result: Flags = dense & (dense.sum(axis=0) >= min_raters)
    return result


def robust_scores(
    votes: Comparisons, scores: Floats, slope: Floats, tie: float, dense: Flags
) -> tuple[Floats, Floats, Cells]:
    """Scores that the majority of dense raters holds, slopes, and cells.

    Medians of offsets first, then redescending weights of cells. Raters with few votes on a source are weighed
    together, as one: many new accounts that push it are no crowd.
    """
    cells = cells_of(votes, slope, scores, tie)
    for _ in range(MEDIAN_ROUNDS):
        centre = centred(cells, dense).centre
        scores = scores + np.clip(centre - centre.mean(), -1.0, 1.0)
        slope = fit_slopes(votes, scores, slope)
        cells = cells_of(votes, slope, scores, tie)
    for _ in range(WEIGHT_ROUNDS):
        found = centred(cells, dense)
        together = np.abs(newcomers(cells, dense))
        distance = np.where(dense, np.abs(found.offset) / found.spread, together[None, :]) / BIWEIGHT
        keep = np.maximum(1.0 - distance**2, 0.0) ** 2
        scores = fit_scores(votes, slope, keep, scores)
        slope = fit_slopes(votes, scores, slope)
        cells = cells_of(votes, slope, scores, tie)
    return scores, slope, cells


def newcomers(cells: Cells, dense: Flags) -> Floats:
    """Offset (S) that the cells which are not dense share, from the centre of the dense ones, in honest deviations."""
    few = ~dense
    information = np.maximum((cells.information * few).sum(axis=0), 1e-9)
    found = centred(cells, dense)
    offset = (cells.residual * few).sum(axis=0) / information - found.centre
    spread = np.sqrt(max(found.taste, LEAST_TASTE) ** 2 + 1.0 / information)
    return np.where(dense.any(axis=0), offset / spread, 0.0)


def centred(cells: Cells, chosen: Flags) -> Centred:
    """Offsets about the weighted medians of the chosen cells."""
    information = np.maximum(cells.information, 1e-9)
    offset = cells.residual / information
    centre, taste = np.zeros(offset.shape[1]), 0.0
    for _ in range(2):
        weight = np.where(chosen, 1.0 / (1.0 / information + taste**2), 0.0)
        centre = np.array([_weighted_median(x, w) for x, w in zip(offset.T, weight.T, strict=True)])
        if chosen.any():
            scatter = MAD_TO_DEVIATION * float(np.median(np.abs(offset - centre)[chosen]))
            taste = max(scatter**2 - float(np.median(1.0 / information[chosen])), 0.0) ** 0.5
    return Centred(centre, offset - centre, np.sqrt(1.0 / information + taste**2), taste)


def _weighted_median(value: Floats, weight: Floats) -> float:
    total = weight.sum()
    if total <= 0.0:
        return 0.0
    order = np.argsort(value)
    return float(value[order[np.searchsorted(np.cumsum(weight[order]), 0.5 * total)]])


@compiled
def derivatives(
    votes: Comparisons, slope: Floats, keep: Floats, scores: Floats, gradient: Floats, hessian: Floats
) -> None:
    """Gradient (S) and negative Hessian (S, S) of the penalised log-likelihood."""
    hessian[:] = 0.0
    for s in range(scores.size):
        gradient[s] = -RIDGE * scores[s]
        hessian[s, s] = RIDGE
    for j in range(votes.rater.size):
        r, a, b = votes.rater[j], votes.first[j], votes.second[j]
        weight = votes.share[j] * min(keep[r, a], keep[r, b])
        p = sigmoid(slope[r] * (scores[a] - scores[b]))
        pull = weight * slope[r] * (votes.score[j] - p)
        curve = weight * slope[r] ** 2 * p * (1.0 - p)
        gradient[a] += pull
        gradient[b] -= pull
        hessian[a, a] += curve
        hessian[b, b] += curve
        hessian[a, b] -= curve
        hessian[b, a] -= curve


@compiled
def residuals(votes: Comparisons, slope: Floats, scores: Floats, tie: float, cells: Cells) -> None:
    """Add each vote's surprise to the cells of its rater and both sources."""
    for j in range(votes.rater.size):
        r, a, b = votes.rater[j], votes.first[j], votes.second[j]
        p = sigmoid(slope[r] * (scores[a] - scores[b]))
        surprise = votes.share[j] * (votes.score[j] - p)
        variance = votes.share[j] * max(p * (1.0 - p) - 0.25 * tie, 0.01)
        cells.residual[r, a] += surprise
        cells.residual[r, b] -= surprise
        cells.information[r, a] += variance
        cells.information[r, b] += variance
        cells.votes[r, a] += votes.share[j]
        cells.votes[r, b] += votes.share[j]


@compiled
def draw_scores(
    votes: Comparisons, slope: Floats, scores: Floats, own: Floats, tie: float, uniform: Floats, drawn: Floats
) -> None:
    """Votes of honest raters with tastes `own` (R, S): a tie with probability `tie`, else the model's winner."""
    for j in range(votes.rater.size):
        r, a, b = votes.rater[j], votes.first[j], votes.second[j]
        p = sigmoid(slope[r] * (scores[a] - scores[b]) + own[r, a] - own[r, b])
        win = min(max(p - 0.5 * tie, 0.0), 1.0 - tie)
        drawn[j] = 1.0 if uniform[j] < win else (0.5 if uniform[j] < win + tie else 0.0)
