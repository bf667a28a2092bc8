"""Corrections of p-values where several hypotheses are tested."""

import numpy as np

from backstay.aggregate.votes import Floats, Ints


def holm(p_values: Floats) -> Floats:
    """Holm's step-down correction (Holm 1979)."""
    order = np.argsort(p_values)
    scaled = p_values[order] * (p_values.size - np.arange(p_values.size))
    result = np.empty(p_values.size)
    result[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return result


def discoveries(p_value: Floats, level: float) -> Ints:
    """Indices of the hypotheses that Benjamini and Hochberg (1995) reject at a false discovery rate of `level`."""
    order = np.argsort(p_value, kind="stable")
    passes = np.flatnonzero(p_value[order] <= level * np.arange(1, order.size + 1) / max(order.size, 1))
    return np.sort(order[: passes[-1] + 1] if passes.size else order[:0])
