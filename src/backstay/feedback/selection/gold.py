"""Gold items that cannot be told from others, and the test that says when one has leaked.

At each assignment the chance of a gold item is the same, whatever the rater did before: waiting, counting or failing
tells nothing. Raters get the gold item that the fewest others have seen, each at most once.
"""

import math
from dataclasses import dataclass

import numpy as np

from backstay.errors import UsageError
from backstay.feedback.selection.belief import Bools, Floats, Ints

FIRST_LOOK = 8
"""Answers on a gold item at the first look for a leak; each further look waits for twice as many."""


def gold_weights(exposure: Ints, seen: Bools, retired: Bools, cap: int) -> Floats:
    """Probability (G) of each gold item for one rater: even among the least exposed that may be shown, else 0.

    Not shown: what the rater has seen, what is retired, and what `cap` raters have seen. All 0 where none is left.
    """
    fit = ~seen & ~retired & (exposure < cap)
    if not fit.any():
        return np.zeros(exposure.size)
    least = fit & (exposure == exposure[fit].min())
    weights: Floats = least / least.sum()
    return weights


@dataclass(frozen=True)
class LeakTest:
    """`p_value`: chance of at least so many right answers among the late ones, had nothing changed."""

    late_right: int
    late: int
    expected: float
    p_value: float


def leak_test(right: Bools, accuracy: Floats, late: Bools) -> LeakTest:
    """Whether the late answers (of N, in order) on one gold item are better than the early ones, given who gave them.

    `accuracy` (N): each rater's accuracy on fresh gold, which few have seen. An easy item is no leak: the test is
    conditional on how many of all answers were right, which removes any odds ratio that all raters share. Then
    P(late right = t) = e_t(late odds) e_{m-t}(early odds) / e_m(all odds), with e_k the elementary symmetric polynomial
    of the raters' odds: Fisher's exact test with unequal raters. The level is kept exactly where the odds are known.
    Taken per rater instead of per item (`late` = items many had seen, `accuracy` = others' share right on each), it
    says whether a rater does better on exposed gold than on fresh gold.
    """
    if not right.shape == accuracy.shape == late.shape:
        raise UsageError(f"sizes differ: right {right.shape}, accuracy {accuracy.shape}, late {late.shape}")
    p = np.clip(accuracy, 0.02, 0.98)
    weight = p / (1.0 - p)
    m, t = int(right.sum()), int((right & late).sum())
    log_late, log_early = log_symmetric(weight[late]), log_symmetric(weight[~late])
    ks = np.arange(max(0, m - int((~late).sum())), min(m, int(late.sum())) + 1)
    log_mass = log_late[ks] + log_early[m - ks]
    mass = np.exp(log_mass - log_mass.max())
    mass /= mass.sum()
    return LeakTest(t, int(late.sum()), float(ks @ mass), float(min(1.0, mass[ks >= t].sum())))


def log_symmetric(weight: Floats) -> Floats:
    """Logarithms (n + 1) of the elementary symmetric polynomials e_0..e_n of positive weights."""
    found = np.full(weight.size + 1, -np.inf)
    found[0] = 0.0
    for k, w in enumerate(weight, start=1):
        found[1 : k + 1] = np.logaddexp(found[1 : k + 1], found[:k] + math.log(w))
    return found


def look_level(answers: int, level: float) -> float:
    """Level of the look at `answers` answers, 0 where none is due.

    Looks are at 8, 16, 32, ... answers, and the i-th spends level * 2^-i, so that all together raise a false alarm with
    at most `level`, however long it goes on.
    """
    ratio = answers / FIRST_LOOK
    if ratio < 1.0 or not math.log2(ratio).is_integer():
        return 0.0
    return level * 2.0 ** -(int(math.log2(ratio)) + 1)


def has_leaked(right: Bools, accuracy: Floats, level: float = 0.01) -> bool:
    """Whether one gold item should be retired now: the second half of its answers (N, in order) against the first."""
    spend = look_level(right.size, level)
    if spend == 0.0:
        return False
    late = np.arange(right.size) >= right.size // 2
    return leak_test(right, accuracy, late).p_value <= spend
