"""The order in which responses are shown: random, recorded, balanced for each rater; and what place does to answers.

Balanced: among each rater's `BLOCK` times K assignments of K responses, the first response stands in each place equally
often, in an order that only the key knows. What a rater gains by always taking the first is then nothing.
"""

import numpy as np

from backstay.errors import UsageError
from backstay.feedback.selection.belief import Ints
from backstay.feedback.selection.keyed import keyed_rng
from backstay.feedback.selection.repeats import Share, wilson

BLOCK = 2
"""Times each place comes in a block."""


def order_shown(key: bytes, project: str, rater: str, item: str, count: int, size: int) -> tuple[int, ...]:
    """Indices of the K = `size` responses in the order shown, for the rater's `count`-th assignment (from 0) of K.

    The same arguments give the same order, so a lease that is asked for again shows the same page.
    """
    if size < 2:
        raise UsageError(f"size is {size}; at least 2 responses are compared")
    block, place = divmod(count, BLOCK * size)
    places = keyed_rng(key, "places", project, rater, size, block).permutation(np.repeat(np.arange(size), BLOCK))
    rest = (1 + keyed_rng(key, "order", project, rater, item, count).permutation(size - 1)).tolist()
    rest.insert(int(places[place]), 0)
    return tuple(rest)


def position_bias(chosen_place: Ints, size: int) -> Share:
    """How often a rater's choice (N answers that named one best) stood first, with its 95 % interval.

    Without a bias it is 1 / `size`, as the order is random whatever the responses are; an interval that leaves
    1 / `size` out shows a lean to the first place (above) or away from it (below).
    """
    if chosen_place.size and not 0 <= chosen_place.min() <= chosen_place.max() < size:
        raise UsageError(f"a place of {int(chosen_place.max())} is not one of {size}; places count from 0")
    return wilson(int(np.sum(chosen_place == 0)), int(chosen_place.size))
