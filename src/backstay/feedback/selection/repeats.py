"""Items that a rater is asked twice by design, to learn whether the rater agrees with itself."""

import math
from dataclasses import dataclass

import numpy as np

from backstay.feedback.selection.belief import Bools, Floats, Ints

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval; `of` is the number it was counted from. Nothing counted: 0.5 within 0 and 1."""

    share: float
    low: float
    high: float
    of: int


def repeat_weights(ago: Ints, repeated: Bools, lag: int) -> Floats:
    """Probability (H) of each judged item to be the repeat: even among those at least `lag` judgments ago, each once.

    All 0 where there is none.
    """
    fit = (ago >= lag) & ~repeated
    return fit / max(int(fit.sum()), 1)


def self_consistency(first: Ints, second: Ints) -> Share:
    """How often N repeats were answered as before, the answers in the items' own order of responses."""
    return wilson(int(np.sum(first == second)), int(first.size))


def wilson(count: int, of: int) -> Share:
    """A share and its 95 % score interval (Wilson 1927), which keeps its level at small numbers and near 0 and 1."""
    if of == 0:
        return Share(0.5, 0.0, 1.0, 0)
    share, z2 = count / of, Z_95 * Z_95
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z_95 * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return Share(share, max(0.0, middle - half), min(1.0, middle + half), of)
