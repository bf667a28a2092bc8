"""Majority vote: every vote counts the same."""

import numpy as np

from backstay.aggregate.baselines.interface import BaselineFit, heads
from backstay.aggregate.columns import VoteColumns

PSEUDO_VOTES = 1.0
"""Votes, half for each side, that every item starts with: one vote then gives 0.75, and none 0.5."""


def majority(columns: VoteColumns, seed: int = 0) -> BaselineFit:  # noqa: ARG001 - nothing here is random
    """Log-odds of the smoothed share of votes, a tie as half a vote for each side; gold is ignored.

    Does not rate raters.
    """
    for_a, for_b = heads(columns)
    log_odds = np.log(for_a + PSEUDO_VOTES / 2.0) - np.log(for_b + PSEUDO_VOTES / 2.0)
    return BaselineFit(log_odds, np.full(columns.n_raters, np.nan))
