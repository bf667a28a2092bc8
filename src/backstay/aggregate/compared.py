"""Every vote beside what the item's other votes say: does it agree, and how likely was that."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.columns import VoteColumns
from backstay.aggregate.reliability import Fit
from backstay.aggregate.trust import Known
from backstay.aggregate.votes import Floats


class Compared(NamedTuple):
    """Of N votes: `usable`, whether there is anything to compare with; the rest means nothing where there is not.

    `certainty` q of what the others say, at least one half; `agrees` with it; `expected`, the chance of agreeing,
    a q + (1 - a)(1 - q) with the rater's accuracy a.
    """

    usable: NDArray[np.bool_]
    certainty: Floats
    agrees: NDArray[np.bool_]
    expected: Floats


def compared(columns: VoteColumns, fit: Fit, known: Known) -> Compared:
    """All votes, the truth of each judged without it."""
    usable = (columns.side != 0) & ~np.isnan(fit.belief)
    belief = np.where(usable, fit.belief, 0.5)
    certainty, accuracy = np.maximum(belief, 1.0 - belief), known.accuracy[columns.rater]
    agrees = (columns.side > 0) == (belief > 0.5)
    expected = accuracy * certainty + (1.0 - accuracy) * (1.0 - certainty)
    return Compared(usable, certainty, agrees, expected)
