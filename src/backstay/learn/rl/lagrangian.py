"""The Lagrange multiplier of a constraint on mean cost (Dai et al. 2023, section 3.2 and appendix B.3)."""

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from torch import Tensor

PINNED_SHARE = 0.99


class Multiplier:
    """lambda = exp(x + gain * excess), where the excess is the windowed mean cost less the threshold.

    Gradient ascent moves x by rate * lambda * excess. The gain answers at once what the integral answers late, and so
    damps the swings between too harmful and too timid: the proportional term of Stooke et al. 2020, equation 8, in log
    space; 0 = off. In log space lambda stays positive. It never passes `maximum`: one that stays there is no longer a
    price but a sign that the constraint cannot be met.
    """

    def __init__(
        self, *, initial: float, maximum: float, rate: float, gain: float, threshold: float, window: int
    ) -> None:
        self.log = math.log(initial)
        self.maximum = maximum
        self.rate = rate
        self.gain = gain
        self.threshold = threshold
        self.costs: deque[float] = deque(maxlen=window)

    @property
    def value(self) -> float:
        """The multiplier."""
        excess = self.mean_cost - self.threshold if self.costs else 0.0
        return min(math.exp(self.log + self.gain * excess), self.maximum)

    @property
    def pinned(self) -> bool:
        """Whether its integral stands at the maximum; a gain that reaches it for a round means nothing yet."""
        return math.exp(self.log) >= PINNED_SHARE * self.maximum

    @property
    def mean_cost(self) -> float:
        """Mean cost of the episodes in the window."""
        return sum(self.costs) / len(self.costs)

    def update(self, costs: Sequence[float]) -> None:
        """Take in the costs of a round; it rises if and only if the windowed mean lies above the threshold."""
        self.costs.extend(costs)
        if self.costs:
            self.log += self.rate * math.exp(self.log) * (self.mean_cost - self.threshold)
            self.log = min(self.log, math.log(self.maximum))

    def numbers(self) -> dict[str, Any]:
        """What an exact resume needs."""
        return {"log": self.log, "costs": list(self.costs)}

    def restore(self, numbers: dict[str, Any]) -> None:
        """Take back what `numbers` gave."""
        self.log = float(numbers["log"])
        self.costs.clear()
        self.costs.extend(float(cost) for cost in numbers["costs"])


def weigh(reward: Tensor, cost: Tensor, multiplier: float) -> Tensor:
    """(reward - lambda cost) / (1 + lambda): advantages or scores, at a scale that lambda does not change."""
    return (reward - multiplier * cost) / (1 + multiplier)
