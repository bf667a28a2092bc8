"""What the other comparisons of two responses say about which is better: expectation propagation for Thurstone's model.

Each response has a strength s ~ N(0, tau^2) and the better one of a pair is a with probability Phi(s_a - s_b)
(Thurstone 1927, case V). Votes on an item give log-odds l; the item's factor is then sigma(-l) + (sigma(l) -
sigma(-l)) Phi(s_a - s_b). Messages are Gaussian with moments matched (Minka 2001; Herbrich et al. 2006, TrueSkill).
The prior of an item leaves its own message out, so that a pair never confirms itself: a pair of responses that were
compared with nothing else has prior log-odds 0.
"""

import math
from dataclasses import dataclass

import numpy as np

from backstay.aggregate.columns import Index
from backstay.aggregate.compiled import compiled
from backstay.aggregate.votes import Floats

DAMPING = 0.5
VARIANCES = (0.05, 10.0)
"""Bounds of tau^2, in units of a comparison's own noise."""


@dataclass
class Coupling:
    """Messages (I, 4) to the strengths of a and b as precision and precision times mean, and tau^2."""

    messages: Floats
    variance: float = 1.0

    @classmethod
    def start(cls, n_items: int) -> "Coupling":
        """Nothing said yet."""
        return cls(np.zeros((n_items, 4)))


def couple(state: Coupling, a: Index, b: Index, log_odds: Floats, prior: Floats, n_responses: int) -> None:
    """One damped pass over I items: renews the messages from the items' own `log_odds` and writes their `prior`.

    tau^2 follows as the mean posterior second moment of the strengths (an EM step).
    """
    precision, shift = np.empty(n_responses), np.empty(n_responses)
    gather(a, b, state.messages, 1.0 / state.variance, precision, shift)
    exchange(a, b, log_odds, state.messages, precision, shift, prior, DAMPING)
    gather(a, b, state.messages, 1.0 / state.variance, precision, shift)
    moment = float(np.mean((shift / precision) ** 2 + 1.0 / precision)) if n_responses else 1.0
    state.variance = min(max(moment, VARIANCES[0]), VARIANCES[1])


@compiled
def gather(a: Index, b: Index, messages: Floats, start: float, precision: Floats, shift: Floats) -> None:
    """Sum messages to each response's precision and precision times mean, from the prior's precision `start`."""
    precision[:] = start
    shift[:] = 0.0
    for i in range(a.size):
        precision[a[i]] += messages[i, 0]
        shift[a[i]] += messages[i, 1]
        precision[b[i]] += messages[i, 2]
        shift[b[i]] += messages[i, 3]


@compiled
def exchange(
    a: Index,
    b: Index,
    log_odds: Floats,
    messages: Floats,
    precision: Floats,
    shift: Floats,
    prior: Floats,
    damping: float,
) -> None:
    """Renew each item's messages from the strengths without it, and write its prior log-odds."""
    for i in range(a.size):
        cavity_a, cavity_b = precision[a[i]] - messages[i, 0], precision[b[i]] - messages[i, 2]
        mean_a = (shift[a[i]] - messages[i, 1]) / cavity_a
        mean_b = (shift[b[i]] - messages[i, 3]) / cavity_b
        scale = math.sqrt(1.0 + 1.0 / cavity_a + 1.0 / cavity_b)
        t = (mean_a - mean_b) / scale
        p = min(max(0.5 * math.erfc(-t / math.sqrt(2.0)), 1e-9), 1.0 - 1e-9)
        prior[i] = math.log(p / (1.0 - p))
        for_a = 1.0 / (1.0 + math.exp(-log_odds[i]))
        tilt = 2.0 * for_a - 1.0
        density = math.exp(-0.5 * t * t) / math.sqrt(2.0 * math.pi)
        slope = tilt * density / (scale * (1.0 - for_a + tilt * p))
        curve = -(t / scale) * slope - slope * slope
        for end in range(2):
            variance = 1.0 / cavity_a if end == 0 else 1.0 / cavity_b
            mean, gradient = (mean_a, slope) if end == 0 else (mean_b, -slope)
            matched = variance * (1.0 + variance * curve)
            added = max(1.0 / matched - 1.0 / variance, 0.0)
            moved = (mean + variance * gradient) * (added + 1.0 / variance) - mean / variance
            messages[i, 2 * end] += damping * (added - messages[i, 2 * end])
            messages[i, 2 * end + 1] += damping * (moved - messages[i, 2 * end + 1])
