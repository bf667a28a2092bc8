"""What a rater's answer would tell: expected information gain, in nats, on the label, the rater's trust and the reward.

Mutual information between the answer and what is not known, as entropy of the answer less its expected entropy when
all were known (BALD: Houlsby et al. 2011, eq. 2). Label and trust are learned together as in CrowdBT (Chen et al. 2013,
the gain on scores plus a weight times the gain on the worker's quality), here for the Beta accuracies of `belief`,
in closed form.
"""

from dataclasses import dataclass

import numpy as np

from backstay.feedback.selection.belief import EQUAL, FIRST, SECOND, Belief, Floats, Ties, Trust, entropy

SERIES_FROM = 6.0
"""Argument from which the asymptotic series of the digamma function is used; its error there is below 1e-11."""


@dataclass(frozen=True)
class Gain:
    """Of I candidates, in nats.

    `direction`: on which response is better, if one is. `equality`: on whether one is. `trust`: on the rater's
    accuracy.

    With the truth Y and D = whether Y is a side: I(answer; Y | D), I(answer; D) and I(answer; accuracy | Y). By the
    chain rule the three sum to I(answer; Y and accuracy).
    """

    direction: Floats
    equality: Floats
    trust: Floats

    @property
    def label(self) -> Floats:
        """I(answer; Y) (I)."""
        return self.direction + self.equality


def information_gain(belief: Belief, trust: Trust, ties: Ties) -> Gain:
    """Expected gain of one vote on each of I items by a rater (or by I raters, one an item) who has not voted on it."""
    p = belief.probability
    mean = trust.right / (trust.right + trust.wrong)
    decided, sides = p[:, FIRST] + p[:, SECOND], 1.0 - ties.decided
    safe = np.where(decided > 0.0, decided, 1.0)
    said_first = (p[:, FIRST] * mean + p[:, SECOND] * (1.0 - mean)) / safe
    spread = _binary(said_first)
    direction = decided * sides * np.maximum(spread - _binary(mean), 0.0)
    if_decided = _binary(ties.decided) + sides * spread
    if_equal = _binary(ties.equal) + (1.0 - ties.equal) * np.log(2.0)
    equality = entropy(_answers(p, mean, ties)) - decided * if_decided - p[:, EQUAL] * if_equal
    left = np.maximum(_binary(mean) - expected_entropy(trust), 0.0)
    return Gain(direction, np.maximum(equality, 0.0), decided * sides * left)


def _answers(p: Floats, mean: Floats, ties: Ties) -> Floats:
    """Probabilities (I, 3) of the answers first, second and tie."""
    sides, coin = 1.0 - ties.decided, p[:, EQUAL] * (1.0 - ties.equal) / 2.0
    first = sides * (p[:, FIRST] * mean + p[:, SECOND] * (1.0 - mean)) + coin
    second = sides * (p[:, SECOND] * mean + p[:, FIRST] * (1.0 - mean)) + coin
    tie = ties.decided * (p[:, FIRST] + p[:, SECOND]) + ties.equal * p[:, EQUAL]
    return np.stack([first, second, tie], axis=-1)


def ensemble_gain(log_odds: Floats, trust: Trust) -> Floats:
    """Expected gain (I) on which member of a reward ensemble is right, from one vote for a side on each of I items.

    `log_odds` (E, I): each member's difference in reward. Members that agree are not told apart by any answer, however
    unsure they are: only what they disagree on counts (BALD with the ensemble as posterior).
    """
    mean = trust.right / (trust.right + trust.wrong)
    p = np.exp(-np.logaddexp(0.0, -log_odds))
    said = mean * p + (1.0 - mean) * (1.0 - p)
    gain: Floats = _binary(said.mean(axis=0)) - _binary(said).mean(axis=0)
    return np.maximum(gain, 0.0)


def expected_entropy(trust: Trust) -> Floats:
    """E[-x log x - (1 - x) log(1 - x)], x ~ Beta(right, wrong); E[x log x] = E[x] (psi(right + 1) - psi(sum + 1))."""
    a, b = np.asarray(trust.right, dtype=np.float64), np.asarray(trust.wrong, dtype=np.float64)
    return digamma(a + b + 1.0) - (a * digamma(a + 1.0) + b * digamma(b + 1.0)) / (a + b)


def digamma(x: Floats) -> Floats:
    """Derivative of log Gamma for x > 0: the recurrence psi(x) = psi(x + 1) - 1 / x, then the asymptotic series."""
    x = np.array(x, dtype=np.float64)
    below = np.zeros_like(x)
    for _ in range(int(SERIES_FROM)):
        small = x < SERIES_FROM
        below = below - np.where(small, 1.0 / x, 0.0)
        x = np.where(small, x + 1.0, x)
    y = 1.0 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132 - y * (691 / 32760 - y / 12))))))
    return below + np.log(x) - 0.5 / x - series


def _binary(p: Floats | float) -> Floats:
    p = np.asarray(p, dtype=np.float64)
    return entropy(np.stack([p, 1.0 - p], axis=-1))
