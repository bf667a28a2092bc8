"""Is a probability worth its face value? Reliability, expected calibration error, accuracy with its interval."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
Scheme = Literal["width", "mass"]


@dataclass(frozen=True)
class ReliabilityBin:
    """The answers whose confidence fell together: mean confidence, share right, Wilson bounds, how many."""

    confidence: float
    accuracy: float
    low: float
    high: float
    count: int


def wilson_interval(successes: float, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share (Wilson 1927); (0, 1) without trials. Half successes (ties) are allowed."""
    if not 0.0 <= successes <= trials:
        raise ValueError(f"successes must lie between 0 and the trials; got {successes} of {trials}")
    if trials == 0:
        return 0.0, 1.0
    z = float(ndtri((1.0 + level) / 2.0))
    share, scale = successes / trials, 1.0 + z * z / trials
    centre = (share + z * z / (2.0 * trials)) / scale
    margin = z / scale * sqrt(share * (1.0 - share) / trials + z * z / (4.0 * trials * trials))
    return max(0.0, centre - margin), min(1.0, centre + margin)


def fold_preferences(p_a: ArrayLike, a_is_better: ArrayLike) -> tuple[Floats, Floats]:
    """Turn P(a over b) and the truth into confidence in [0.5, 1] and correctness in [0, 1].

    Which response is called `a` is arbitrary, so calibration is judged on the side that the model leans to.
    A soft truth is allowed; p_a of exactly 0.5 is a tie and counts as half right.
    """
    p, truth = _probabilities(p_a, a_is_better)
    right = np.where(p > 0.5, truth, np.where(p < 0.5, 1.0 - truth, 0.5))
    return np.maximum(p, 1.0 - p), right


def bin_index(
    confidence: ArrayLike, bins: int, scheme: Scheme, low: float = 0.0, high: float = 1.0
) -> NDArray[np.intp]:
    """Bin of each confidence: `width` cuts [low, high] evenly, `mass` puts equally many into each bin."""
    value = np.asarray(confidence, dtype=np.float64)
    if bins < 1:
        raise ValueError(f"at least one bin is needed; got {bins}")
    if scheme == "width":
        edges = np.linspace(low, high, bins + 1)[1:-1]
        return np.searchsorted(edges, value, side="right")
    index = np.empty(value.size, dtype=np.intp)
    for rank, members in enumerate(np.array_split(np.argsort(value, kind="stable"), bins)):
        index[members] = rank
    return index


def reliability_table(
    confidence: ArrayLike, correct: ArrayLike, *, bins: int = 10, scheme: Scheme = "width", low: float = 0.0
) -> list[ReliabilityBin]:
    """The filled bins in order of confidence; `low` is the lowest confidence possible (0.5 for folded preferences)."""
    confidences, rights = _probabilities(confidence, correct)
    index = bin_index(confidences, bins, scheme, low=low)
    return [_reliability_bin(confidences[index == bin_], rights[index == bin_]) for bin_ in np.unique(index)]


def expected_calibration_error(
    confidence: ArrayLike, correct: ArrayLike, *, bins: int = 10, scheme: Scheme = "width", low: float = 0.0
) -> float:
    """Mean over answers of |accuracy - confidence| of their bin (Naeini et al. 2015); 0 = calibrated.

    Biased upwards on few answers: a perfectly calibrated model scores up to about 0.4 * sqrt(bins / n) on n answers.
    """
    table = reliability_table(confidence, correct, bins=bins, scheme=scheme, low=low)
    return sum(row.count * abs(row.accuracy - row.confidence) for row in table) / sum(row.count for row in table)


def brier_score(p_a: ArrayLike, a_is_better: ArrayLike) -> float:
    """Mean squared error of the probabilities; 0.25 for saying 0.5 always."""
    p, truth = _probabilities(p_a, a_is_better)
    return float(np.mean((p - truth) ** 2))


def table_rows(table: Sequence[ReliabilityBin]) -> list[dict[str, float]]:
    """The table as JSON rows with the keys confidence, accuracy, low, high, count."""
    return [asdict(row) for row in table]


def _reliability_bin(confidence: Floats, correct: Floats) -> ReliabilityBin:
    right, count = float(correct.sum()), int(correct.size)
    return ReliabilityBin(float(confidence.mean()), right / count, *wilson_interval(min(right, count), count), count)


def _probabilities(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(f"two equally long, filled vectors are needed; got shapes {first.shape}, {second.shape}")
    for values in (first, second):
        if not np.all((values >= 0.0) & (values <= 1.0)):
            raise ValueError(f"probabilities lie in [0, 1]; got values from {values.min()} to {values.max()}")
    return first, second
