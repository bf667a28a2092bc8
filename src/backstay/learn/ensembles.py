"""What an ensemble makes of its members' scores, and the bounded form of it that is safe to maximise."""

from typing import Literal

from torch import Tensor

Rule = Literal["deviation", "uwo", "worst", "mean"]


def combine(score_M_B: Tensor, rule: Rule, penalty: float) -> Tensor:
    """One score `[B]` of the M members' scores; a member that gives NaN makes the response's score NaN.

    `mean`; `worst`: the lowest member, and `uwo`: mean - penalty * variance over members (worst-case and
    uncertainty-weighted optimisation, Coste et al. 2024, section 3.2); `deviation`: mean - penalty * standard
    deviation, which keeps the penalty in units of reward. `mean` and `worst` do not use `penalty`.
    """
    if rule == "deviation":
        return conservative_score(score_M_B, penalty=penalty)
    if rule == "uwo":
        return score_M_B.mean(0) - penalty * score_M_B.var(0, unbiased=False)
    return score_M_B.amin(0) if rule == "worst" else score_M_B.mean(0)


def conservative_score(score_M_B: Tensor, *, penalty: float) -> Tensor:
    """Mean over members minus `penalty` standard deviations: a lower confidence bound, after Coste et al. 2024.

    Their uncertainty-weighted objective subtracts the variance; the deviation keeps the penalty in reward units.
    """
    return score_M_B.mean(0) - penalty * spread(score_M_B)


def spread(score_M_B: Tensor) -> Tensor:
    """Standard deviation over members, 0 for a single one."""
    return score_M_B.std(0, unbiased=False)


def par(score_B: Tensor, reference_B_K: Tensor) -> Tensor:
    """Mean over K reference responses of sigmoid(score - reference score), in (0, 1); PAR, Fu et al. 2025, section 4.

    On the Bradley-Terry scale it is the chance of being preferred to a response of the reference policy. A reference of
    NaN is left out; a response whose score is NaN, or that has no reference, gets NaN.
    """
    return (score_B[:, None] - reference_B_K).sigmoid().nanmean(1)
