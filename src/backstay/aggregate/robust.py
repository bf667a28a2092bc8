"""Middle and spread that a few wild values do not move."""

import numpy as np

from backstay.aggregate.votes import Floats

MAD_TO_DEVIATION = 1.4826
"""A normal standard deviation in median absolute deviations."""


def robust_spread(values: Floats) -> tuple[float, float]:
    """Median, and 1.4826 times the median absolute deviation from it; 0 and 0 without values."""
    if not values.size:
        return 0.0, 0.0
    middle = float(np.median(values))
    return middle, MAD_TO_DEVIATION * float(np.median(np.abs(values - middle)))
