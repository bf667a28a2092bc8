"""Mean over seeds, and how sure it is."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t


def interval(values: Sequence[float]) -> list[float]:
    """Mean and 95 % Student interval over seeds; one seed has no width."""
    mean, half = float(np.mean(values)), 0.0
    if len(values) > 1:
        half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return [round(mean, 4), round(mean - half, 4), round(mean + half, 4)]
