"""What one vote says about one pair, given the rater."""

import numpy as np
from scipy.special import expit, log_expit

from backstay.aggregate.votes import Floats, Ints, tally

GOLD_LOG_ODDS = 30.0
"""Log-odds to which gold items are clamped during fitting."""


def vote_log_odds(side: Floats, shown: Floats, skill: Floats, bias: Floats) -> Floats:
    """Evidence of N votes that `a` is better: log P(vote | a better) - log P(vote | b better).

    P(vote for a | truth z in {1, -1}, shown o in {1, -1, 0}) = sigmoid(z * skill + o * bias); a tie says nothing.
    """
    aligned = side * shown * bias
    evidence: Floats = np.abs(side) * (log_expit(side * skill + aligned) - log_expit(-side * skill + aligned))
    return evidence


def item_log_odds(item: Ints, evidence: Floats, gold: Floats) -> Floats:
    """Posterior log-odds of I items under an even prior; gold items are clamped."""
    total = tally(item, evidence, gold.size)
    return np.where(np.isnan(gold), total, np.where(gold > 0.5, GOLD_LOG_ODDS, -GOLD_LOG_ODDS))


def accuracy(skill: Floats, bias: Floats) -> Floats:
    """Probability of naming the better response, averaged over both orders of display."""
    mean: Floats = (expit(skill + bias) + expit(skill - bias)) / 2.0
    return mean
