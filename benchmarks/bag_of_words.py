"""The peer of the hh-rlhf benchmark: a linear Bradley-Terry reward on word counts, on the same folds."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

from backstay.evaluate import wilson_interval

MIN_COUNT = 3


def word_counts(texts: Sequence[str]) -> sparse.csr_matrix:
    """log(1 + count) of each word that occurs in at least three texts, `[N, words]`."""
    counted = [Counter(re.findall(r"[a-z']+", text.lower())) for text in texts]
    seen = Counter(word for counts in counted for word in counts)
    column = {word: index for index, word in enumerate(sorted(w for w, n in seen.items() if n >= MIN_COUNT))}
    cells = [(row, column[w], np.log1p(n)) for row, c in enumerate(counted) for w, n in c.items() if w in column]
    rows, columns, values = zip(*cells, strict=True)
    return sparse.csr_matrix((values, (rows, columns)), shape=(len(texts), len(column)))


def fit(difference: sparse.csr_matrix, l2: float) -> np.ndarray:
    """Weights that maximise sum log sigmoid(w . (chosen - rejected)) - l2 / 2 |w|^2."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = difference @ w
        gradient = -(difference.T @ expit(-margin)) + l2 * w
        return float(np.logaddexp(0, -margin).sum() + l2 / 2 * w @ w), gradient

    found: np.ndarray = minimize(loss, np.zeros(difference.shape[1]), jac=True, method="L-BFGS-B").x
    return found


def cross_validated(
    chosen: Sequence[str], rejected: Sequence[str], fold: Sequence[int], *, l2: float = 10.0
) -> dict[str, float]:
    """Accuracy on the fold that each model was not fitted to, with its 95 % Wilson interval."""
    counts = word_counts([*chosen, *rejected])
    difference = counts[: len(chosen)] - counts[len(chosen) :]
    folds, hits = np.asarray(fold), np.zeros(len(chosen))
    for held in np.unique(folds):
        w = fit(difference[folds != held], l2)
        hits[folds == held] = (np.sign(difference[folds == held] @ w) + 1) / 2
    low, high = wilson_interval(float(hits.sum()), len(hits))
    return {"accuracy": float(hits.mean()), "low": low, "high": high}
