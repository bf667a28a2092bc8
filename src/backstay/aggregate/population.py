"""The population of raters: an empirical-Bayes Beta prior on accuracy."""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln

from backstay.aggregate.votes import Floats

MEANS = np.linspace(0.55, 0.95, 9)
"""Prior means tried; all above one half: without gold, that most raters are honest can only be assumed."""

CONCENTRATIONS = np.geomspace(1.0, 20.0, 10)
"""Prior sizes tried, in judgments; below 2 the prior is U-shaped, which is what a mixture with flippers looks like."""

MAX_RATERS = 1000
"""Raters used; beyond it every k-th is taken, which leaves the estimate unbiased."""


@dataclass(frozen=True, slots=True)
class BetaPrior:
    """Beta(right, wrong): as if so many right and wrong judgments had been seen before."""

    right: float
    wrong: float

    @property
    def mean(self) -> float:
        """Accuracy of a rater of whom nothing is known."""
        return self.right / (self.right + self.wrong)


START = BetaPrior(3.0, 1.0)
"""The prior before anything is fitted: mean 0.75, worth four judgments."""


ANY_MEANS = np.linspace(0.05, 0.95, 19)
"""Prior means tried where gold tells whether most are honest: on a topic that was set apart they may not be."""


def fit_prior(right: Floats, wrong: Floats, means: Floats = MEANS) -> BetaPrior:
    """Maximise the beta-binomial marginal likelihood of R raters' right and wrong counts on a grid with these means.

    Two pseudo-raters at the start value keep a population of one or two from being taken as the whole world.
    """
    step = max(1, -(-right.size // MAX_RATERS))
    k, n = np.append(right[::step], [1.5, 1.5]), np.append(wrong[::step], [0.5, 0.5])
    mean, size = (grid.ravel() for grid in np.meshgrid(means, CONCENTRATIONS, indexing="ij"))
    a, b = mean * size, (1.0 - mean) * size
    marginal = [float(np.sum(betaln(k + x, n + y)) - k.size * betaln(x, y)) for x, y in zip(a, b, strict=True)]
    best = int(np.argmax(marginal))
    return BetaPrior(float(a[best]), float(b[best]))
