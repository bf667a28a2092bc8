"""Does gold still follow the reward? A comparison of recent probes with earlier ones that knows its own noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WINDOWS = (3, 4, 5, 6, 8, 10)
STALLED_Z, FALLEN_Z = 2.5, 3.0
FLOOR = 1e-9
BEST_WINDOW = 5
ALL_OF_IT = 1.0


@dataclass(frozen=True)
class Probe:
    """Means of proxy and gold over the same responses, with the standard errors of these means over prompts."""

    proxy: float
    gold: float
    proxy_error: float = 0.0
    gold_error: float = 0.0


def gold_is_at_its_best(probes: Sequence[Probe]) -> bool:
    """Whether mean gold of the last five probes is the highest of any five; True before there are five."""
    if len(probes) < BEST_WINDOW:
        return True
    means = _means(np.array([[p.proxy, p.gold] for p in probes]), BEST_WINDOW)[:, 1]
    return bool(means[-1] >= means.max())


@dataclass(frozen=True)
class Change:
    """From one window of probes to the last: changes as shares of what proxy and gold have gained since the first."""

    window: int
    proxy: float
    gold: float

    def __str__(self) -> str:
        moved = f"gold {self.gold:+.0%}" if self.gold >= -ALL_OF_IT else "gold fell by more than it ever gained"
        return f"over the last {self.window} probes the reward gained {self.proxy:.0%} of all it has, {moved}"


def divergence(probes: Sequence[Probe], limit: float) -> Change | None:
    """The first window of probes in which the reward went on and gold did not, or None.

    For windows of 3 to 10 probes, the last one is compared with

    - the one just before: gold has *stalled* when the proxy gained more than `limit` of its gain so far and gold
      nothing, where the proxy's change and the gap between both shares lie two and a half standard errors above 0;
    - the one where gold was best: gold has *fallen* when it lies three standard errors below it and the proxy does not.

    The gain is from the first probe to the best window. A proxy that has gained nothing diverges from nothing.
    """
    values = np.array([[p.proxy, p.gold] for p in probes]).reshape(-1, 2)
    errors = np.array([[p.proxy_error, p.gold_error] for p in probes]).reshape(-1, 2)
    for width in WINDOWS:
        if len(probes) > 2 * width:
            found = _in_windows(values, errors, width, limit)
            if found is not None:
                return found
    return None


def _in_windows(values_N_2: np.ndarray, errors_N_2: np.ndarray, width: int, limit: float) -> Change | None:
    means, squares = _means(values_N_2, width), _means(errors_N_2**2, width) / width
    gain = np.maximum(means.max(0) - values_N_2[0], FLOOR)
    if gain[0] <= FLOOR:
        return None
    earlier = means[: len(means) - width]
    before, best = len(earlier) - 1, int(earlier[:, 1].argmax())
    error = np.sqrt(squares[-1] + squares[before])
    proxy, gold = (means[-1] - means[before]) / gain
    gap_error = math.hypot(*(error / gain))
    if proxy > limit and gold <= 0 and proxy * gain[0] > STALLED_Z * error[0] and proxy - gold > STALLED_Z * gap_error:
        return Change(width, float(proxy), float(gold))
    error = np.sqrt(squares[-1] + squares[best])
    change = means[-1] - means[best]
    if change[0] >= -error[0] and change[1] < 0 and -change[1] > FALLEN_Z * error[1]:
        return Change(len(means) - 1 - best, *(float(x) for x in change / gain))
    return None


def _means(values_N_2: np.ndarray, width: int) -> np.ndarray:
    means: np.ndarray = np.lib.stride_tricks.sliding_window_view(values_N_2, width, axis=0).mean(-1)
    return means
