"""What every baseline takes and gives."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from backstay.aggregate.columns import VoteColumns
from backstay.aggregate.votes import Floats, tally

GOLD_LOG_ODDS = 30.0
"""Size of the log-odds of an item whose answer is given; finite, so that whoever reads them may add and subtract."""


@dataclass(frozen=True)
class BaselineFit:
    """What a method concludes from the votes.

    `log_odds` (I) that a is better, in nats; 0 = no idea. `accuracy` (R) is the chance that a rater names the better
    response; 0.5 for a rater who never named one, NaN throughout where the method does not rate raters. `steps` is the
    number of iterations, 0 for a closed form; `converged` is False where their limit was reached first.
    """

    log_odds: Floats
    accuracy: Floats
    steps: int = 0
    converged: bool = True


class Baseline(Protocol):
    """A method to compare with; the same votes and seed give the same answer."""

    def __call__(self, columns: VoteColumns, seed: int = 0) -> BaselineFit:
        """Fit `columns`; `seed` matters only to methods that start at random."""


def without_gold(columns: VoteColumns) -> VoteColumns:
    """`columns` for a method that knows nothing of gold."""
    return columns._replace(gold=np.zeros_like(columns.gold))


def neutral_where_silent(columns: VoteColumns, accuracy: Floats) -> Floats:
    """`accuracy` (R), with 0.5 for raters who never named a side."""
    named = tally(columns.rater.astype(np.int64), columns.side != 0, columns.n_raters)
    result: Floats = np.where(named > 0.0, accuracy, 0.5)
    return result


def heads(columns: VoteColumns) -> tuple[Floats, Floats]:
    """Votes for a and for b of each item (I), weighted by share, with a tie as half a vote for each."""
    share = columns.share.astype(np.float64)
    for_a = tally(columns.item, share * (1.0 + columns.side) / 2.0, columns.n_items)
    for_b = tally(columns.item, share * (1.0 - columns.side) / 2.0, columns.n_items)
    return for_a, for_b
