"""Corrections of p-values where several hypotheses are tested."""

import numpy as np

from backstay.aggregate.votes import Floats


def holm(p_values: Floats) -> Floats:
    """Holm's step-down correction (Holm 1979)."""
    order = np.argsort(p_values)
    scaled = p_values[order] * (p_values.size - np.arange(p_values.size))
    result = np.empty(p_values.size)
    result[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return result
