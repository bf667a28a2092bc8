"""Raters who change: when a rater's votes became better or worse, and what stood before counted as another voice.

For the votes of a rater in order of time, with q the certainty of what the other voters say of the item, a the rater's
accuracy and p = a q + (1 - a)(1 - q) the chance of agreeing with them:

    S_k = sum of (agrees - p)(2 q - 1) over the first k votes,  V_k = sum of (2 q - 1)^2 p (1 - p),
    D = max_k |S_k - V_k / V_n S_n| / sqrt(V_n).

Without a change D is at most the supremum of a Brownian bridge, whose law is Kolmogorov's (a CUSUM test, Brown, Durbin
& Evans 1975; steps make it conservative). Of many raters: Benjamini & Hochberg 1995. docs/aggregate/sleepers.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import kolmogorov

from backstay.aggregate.columns import VoteColumns
from backstay.aggregate.compared import compared
from backstay.aggregate.multiplicity import discoveries
from backstay.aggregate.reliability import Fit
from backstay.aggregate.trust import Known
from backstay.aggregate.votes import Floats, Ints

LEAST = 8
"""Comparable votes on each side of a change below which none is looked for."""

LEAST_INFORMATION = 1.0
"""V_n below which a rater's votes say too little."""

EARLIER = "(earlier)"
"""Context of votes from before a change."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Rater `rater` changed: its vote `first` (index among N) is the first since, judged against D's `p_value`."""

    rater: int
    first: int
    p_value: float


def find_shifts(columns: VoteColumns, fit: Fit, known: Known, time: Ints, level: float) -> list[Shift]:
    """Raters whose votes changed, at a false discovery rate of `level`; `time` (N) orders votes, 0 = no shifts.

    Votes of the same time are never parted.
    """
    step, variance = _steps(columns, fit, known)
    used = np.flatnonzero(variance > 0.0)
    owner = fit.voices.owner[columns.rater].astype(np.int64)
    used = used[np.lexsort((used, time[used], owner[used]))]
    if level <= 0.0 or not used.size:
        return []
    begin = np.flatnonzero(np.append(True, np.diff(owner[used]) != 0))
    tests = _tests(owner[used], time[used], step[used], variance[used], begin)
    chosen = discoveries(tests.p_value, level)
    return [
        Shift(int(owner[used[tests.cut[k]]]), int(used[tests.cut[k]]), float(tests.p_value[k])) for k in chosen
    ]  # fmt: skip


def _steps(columns: VoteColumns, fit: Fit, known: Known) -> tuple[Floats, Floats]:
    """What each vote (N) adds to S and V; 0 where it cannot be compared with anything."""
    _, certainty, agrees, expected = compared(columns, fit, known)
    edge = 2.0 * certainty - 1.0
    return (agrees - expected) * edge, edge**2 * expected * (1.0 - expected)


@dataclass(frozen=True)
class _Tests:
    """Of the raters tested: place of the first vote since the likeliest change, and p-value."""

    cut: Ints
    p_value: Floats


def _tests(owner: Ints, time: Ints, step: Floats, variance: Floats, begin: Ints) -> _Tests:
    """Tests of runs of votes that begin at `begin`; p is 1 where there is too little to test."""
    size = np.diff(np.append(begin, owner.size))
    run = np.repeat(np.arange(begin.size), size)
    place = np.arange(owner.size) - begin[run]
    total, known = np.add.reduceat(step, begin), np.add.reduceat(variance, begin)
    before, seen = _before(step, begin, run), _before(variance, begin, run)
    bridge = np.abs(before - seen / known[run] * total[run])
    parted = np.append(True, time[1:] != time[:-1])
    allowed = parted & (place >= LEAST) & (size[run] - place >= LEAST)
    bridge = np.where(allowed, bridge, -1.0)
    height = np.maximum.reduceat(bridge, begin)
    cut = np.minimum.reduceat(np.where(bridge == height[run], np.arange(owner.size), owner.size), begin)
    enough = (height >= 0.0) & (known >= LEAST_INFORMATION)
    p_value = np.where(enough, kolmogorov(np.maximum(height, 0.0) / np.sqrt(np.maximum(known, 1e-12))), 1.0)
    return _Tests(cut[enough], p_value[enough])


def _before(value: Floats, begin: Ints, run: Ints) -> Floats:
    """Sum within its run of what stands before each place."""
    running = np.cumsum(value) - value
    result: Floats = running - running[begin][run]
    return result


def earlier_votes(rater: Ints, time: Ints, shifts: Sequence[Shift]) -> NDArray[np.bool_]:
    """The votes (N), by `rater` at `time`, that raters cast before they changed."""
    since = np.full(int(rater.max(initial=-1)) + 1, np.iinfo(np.int64).min)
    for shift in shifts:
        since[shift.rater] = time[shift.first]
    earlier: NDArray[np.bool_] = time < since[rater]
    return earlier
