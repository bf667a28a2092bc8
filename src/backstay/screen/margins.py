"""How far each pair's answers lie apart, as judged by a linear reward that never saw the pair.

Two stages. A ridge Bradley-Terry reward on text features, fitted to the pairs of other prompts, gives a margin. Where
answers occur in several pairs, each answer then gets its own strength beside it, fitted to the other pairs of the same
answers. Margins become probabilities with a scale and a rate of random flips that were fitted to other folds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

from backstay.screen.text_features import frequent_columns, pair_difference
from backstay.screen.texts import PairTexts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MAX_ITERATIONS = 300
ITEM_FOLDS = 20
"""Folds of the answers' own strengths: more than of prompts, as an answer has few other pairs to be judged by."""

LIKELIHOOD_GAIN = 4.0
"""Gain in log likelihood from which on a flip rate above zero is believed; by chance about 1 in 400 (a bound at 0)."""

_SCALES = (0.02, 50.0)
_TINY = 1e-12


@dataclass(frozen=True)
class Calibration:
    """P(labelled a) = noise + (1 - 2 noise) sigmoid(scale * margin)."""

    scale: float
    noise: float

    def preferred(self, margin: Floats) -> Floats:
        """P(a is really preferred)."""
        return np.asarray(expit(self.scale * margin), dtype=np.float64)

    def labelled(self, margin: Floats) -> Floats:
        """P(the label says a)."""
        return self.noise + (1.0 - 2.0 * self.noise) * self.preferred(margin)


@dataclass(frozen=True)
class Margins:
    """Out-of-fold view of N pairs, in their order.

    `margin` > 0 speaks for a. `preferred` is P(a is really preferred), `labelled` P(the label says a), which also
    reckons with random flips at `noise`, the rate estimated from all pairs. `folds` is 0 where there was nothing to
    learn from: then every probability is one half.
    """

    margin: Floats
    preferred: Floats
    labelled: Floats
    noise: float
    folds: int
    items: int


def fit_sparse_bt(
    difference: sparse.csr_array,
    p_a: Floats,
    weight: Floats,
    *,
    ridge: float,
    offset: Floats | None = None,
    noise: float = 0.0,
) -> Floats:
    """Weights (F) that minimise sum_i weight_i CE(p_a_i, q_i) + ridge / 2 |w|^2, by L-BFGS.

    q = noise + (1 - 2 noise) sigmoid(offset + difference @ w): with `noise` above 0 the labels are taken to be flipped
    at that rate (forward correction, Patrini et al. 2017), and the loss is no longer convex; the start is zero.
    """
    start = np.zeros(len(p_a)) if offset is None else offset
    transposed = sparse.csr_array(difference.T)

    def loss(w: Floats) -> tuple[float, Floats]:
        sure = np.asarray(expit(start + difference @ w), dtype=np.float64)
        q = np.clip(noise + (1.0 - 2.0 * noise) * sure, _TINY, 1.0 - _TINY)
        value = -float(weight @ (p_a * np.log(q) + (1.0 - p_a) * np.log1p(-q))) + 0.5 * ridge * float(w @ w)
        slope = weight * (q - p_a) / (q * (1.0 - q)) * (1.0 - 2.0 * noise) * sure * (1.0 - sure)
        return value, transposed @ slope + ridge * w

    found = minimize(
        loss,
        np.zeros(difference.shape[1]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITERATIONS, "gtol": 1e-4},
    )
    return np.asarray(found.x, dtype=np.float64)


def group_folds(groups: Sequence[str], folds: int, seed: int) -> tuple[Ints, int]:
    """The fold of each row, whole groups together, and the number of folds: no more than groups, 0 for a single one."""
    names, member = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    folds = min(folds, len(names))
    if folds < 2:
        return np.zeros(len(groups), dtype=np.int64), 0
    place = np.random.default_rng(seed).permutation(len(names)) % folds
    return place[member].astype(np.int64), folds


def calibrate(margin: Floats, is_a: Floats, weight: Floats, *, noisy: bool = True) -> Calibration:
    """Scale and flip rate of most likelihood; the rate is 0 unless it gains `LIKELIHOOD_GAIN` (or `noisy` is false).

    A weak margin cannot tell flips from honest doubt: both flatten the curve, and only its ceiling far out tells them
    apart. Then the rate is 0 and nothing is called flipped.
    """

    def loss(point: Floats) -> float:
        guess = Calibration(float(np.exp(point[0])), 0.5 * float(expit(point[1])))
        q = np.clip(guess.labelled(margin), _TINY, 1.0 - _TINY)
        return -float(weight @ (is_a * np.log(q) + (1.0 - is_a) * np.log1p(-q)))

    scale = (float(np.log(_SCALES[0])), float(np.log(_SCALES[1])))
    plain, cost = _least(loss, (0.0, -40.0), (scale, (-40.0, -40.0)))
    if noisy:
        starts = ((float(plain[0]) + 0.5, rate) for rate in (-3.0, -0.5))
        found, lower = min((_least(loss, start, (scale, (-6.0, 3.0))) for start in starts), key=lambda pair: pair[1])
        if cost - lower >= LIKELIHOOD_GAIN:
            return Calibration(float(np.exp(found[0])), 0.5 * float(expit(found[1])))
    return Calibration(float(np.exp(plain[0])), 0.0)


def _least(
    loss: Callable[[Floats], float], start: tuple[float, float], bounds: tuple[tuple[float, float], tuple[float, float]]
) -> tuple[Floats, float]:
    found = minimize(loss, np.array(start), method="L-BFGS-B", bounds=list(bounds))
    return np.asarray(found.x, dtype=np.float64), float(found.fun)


def cross_fitted_margins(
    rows: Sequence[PairTexts],
    *,
    folds: int = 5,
    ridge: float = 3.0,
    item_ridge: float = 0.3,
    least_pairs: int = 5,
    use_items: bool = True,
    seed: int = 0,
) -> Margins:
    """Out-of-fold margins of N pairs; folds are whole prompts, for the answers' own strengths whole pairs of answers.

    `ridge`, `item_ridge` are in units of pairs; features that differ in fewer than `least_pairs` pairs are left out.
    Pairs of weight 0 teach nothing but get a margin. Dimensions are fitted apart.
    """
    out = [np.zeros(len(rows)), np.full(len(rows), 0.5), np.full(len(rows), 0.5)]
    noises: list[tuple[int, float]] = []
    used, items = 0, 0
    for dimension in sorted({row.pair.dimension for row in rows}):
        where = np.array([i for i, row in enumerate(rows) if row.pair.dimension == dimension])
        part = _one_dimension(
            [rows[i] for i in where],
            folds=folds,
            ridges=(ridge, item_ridge),
            least=least_pairs,
            use_items=use_items,
            seed=seed,
        )
        for whole, values in zip(out, (part.margin, part.preferred, part.labelled), strict=True):
            whole[where] = values
        noises.append((len(where), part.noise))
        used, items = max(used, part.folds), items + part.items
    noise = sum(count * rate for count, rate in noises) / max(len(rows), 1)
    return Margins(out[0], out[1], out[2], noise, used, items)


def _one_dimension(
    rows: Sequence[PairTexts], *, folds: int, ridges: tuple[float, float], least: int, use_items: bool, seed: int
) -> Margins:
    p_a = np.array([row.pair.p_a for row in rows], dtype=np.float64)
    weight = np.array([row.pair.weight for row in rows], dtype=np.float64)
    fold, folds = group_folds([row.pair.prompt_id for row in rows], folds, seed)
    teaches = (weight > 0.0) & (np.abs(p_a - 0.5) > 1e-9)
    if folds == 0 or not teaches.any():
        half = np.full(len(rows), 0.5)
        return Margins(np.zeros(len(rows)), half, half, 0.0, 0, 0)
    difference = pair_difference([r.request for r in rows], [r.a for r in rows], [r.b for r in rows])
    narrow = sparse.csr_array(difference[:, frequent_columns(difference, least)])
    margin = out_of_fold(narrow, p_a, weight, fold, ridge=ridges[0])
    is_a = (p_a > 0.5).astype(np.float64)
    trusted = weight * teaches
    incidence, shared = _incidence(rows)
    if use_items and shared:
        text = calibrate(margin, is_a, trusted)
        base = _scaled(margin, is_a, trusted, fold)
        fold, _ = group_folds(
            [f"{min(r.pair.a, r.pair.b)}\t{max(r.pair.a, r.pair.b)}" for r in rows], ITEM_FOLDS, seed + 1
        )
        margin = base + out_of_fold(incidence, p_a, weight, fold, ridge=ridges[1], offset=base, noise=text.noise)
    return _calibrated(margin, is_a, trusted, fold, folds, shared if use_items else 0)


def out_of_fold(
    x: sparse.csr_array,
    p_a: Floats,
    weight: Floats,
    fold: Ints,
    *,
    ridge: float,
    offset: Floats | None = None,
    noise: float = 0.0,
) -> Floats:
    """Margins (N) of a linear reward on features `x` (N, F), each by a fit to the other folds."""
    margin = np.zeros(len(p_a))
    for own in np.unique(fold):
        rest, mine = np.flatnonzero(fold != own), np.flatnonzero(fold == own)
        start = None if offset is None else offset[rest]
        w = fit_sparse_bt(sparse.csr_array(x[rest]), p_a[rest], weight[rest], ridge=ridge, offset=start, noise=noise)
        margin[mine] = x[mine] @ w
    return margin


def _scaled(margin: Floats, is_a: Floats, weight: Floats, fold: Ints) -> Floats:
    """Margins in units of log odds, by a scale fitted to the other folds."""
    scaled = np.zeros_like(margin)
    for own in np.unique(fold):
        mine = fold == own
        scaled[mine] = calibrate(margin[~mine], is_a[~mine], weight[~mine]).scale * margin[mine]
    return scaled


def _calibrated(margin: Floats, is_a: Floats, weight: Floats, fold: Ints, folds: int, items: int) -> Margins:
    """Probabilities by a calibration fitted to the other folds; without a flip rate in all pairs none in the folds."""
    overall = calibrate(margin, is_a, weight)
    preferred, labelled, scaled = np.zeros_like(margin), np.zeros_like(margin), np.zeros_like(margin)
    for own in np.unique(fold):
        mine = fold == own
        found = calibrate(margin[~mine], is_a[~mine], weight[~mine], noisy=overall.noise > 0.0)
        preferred[mine], labelled[mine] = found.preferred(margin[mine]), found.labelled(margin[mine])
        scaled[mine] = found.scale * margin[mine]
    return Margins(scaled, preferred, labelled, overall.noise, folds, items)


def _incidence(rows: Sequence[PairTexts]) -> tuple[sparse.csr_array, int]:
    """+1 for answer a and -1 for answer b of each pair, and how many answers occur in more than one pair."""
    ids: dict[str, int] = {}
    a = np.array([ids.setdefault(row.pair.a, len(ids)) for row in rows], dtype=np.int64)
    b = np.array([ids.setdefault(row.pair.b, len(ids)) for row in rows], dtype=np.int64)
    count = len(rows)
    places = (np.tile(np.arange(count), 2), np.concatenate((a, b)))
    values = np.concatenate((np.ones(count), -np.ones(count)))
    table = sparse.csr_array((values, places), shape=(count, len(ids)))
    return table, int(np.sum(np.bincount(np.concatenate((a, b)), minlength=len(ids)) > 1))
