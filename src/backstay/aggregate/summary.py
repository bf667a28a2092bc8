"""The figures of an aggregation: everything counted, both algorithms side by side."""

import math
from typing import Any

import numpy as np
from scipy.special import expit

from backstay.aggregate.agreement import alpha_interval, pairwise_agreement, value_counts
from backstay.aggregate.calibration import HeldOut, accuracy_of, calibration_error, cooled
from backstay.aggregate.majority import majority_share
from backstay.aggregate.reliability import Fit
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.votes import Floats, Votes
from backstay.records import RaterTrust


def summarise(
    votes: Votes,
    fit: Fit,
    checked: HeldOut,
    temperature: float,
    p_a: Floats,
    trust: list[RaterTrust],
    settings: AggregateSettings,
) -> dict[str, Any]:
    """Figures as JSON data; None stands for what is not defined."""
    return {
        "algorithm": settings.algorithm,
        "counts": _counts(votes, trust),
        "dropped": dict(sorted(votes.dropped.items())),
        "agreement": _agreement(votes, settings),
        "held_out_gold": _held_out(checked, temperature, settings),
        "model": _model(fit, temperature),
        "algorithms_agree": _same_side(votes, p_a),
        "anchored": bool(np.any(~np.isnan(votes.gold))),
    }


def _counts(votes: Votes, trust: list[RaterTrust]) -> dict[str, int]:
    voted = np.bincount(votes.item, minlength=votes.n_items) > 0
    gold = ~np.isnan(votes.gold)
    return {
        "judgments": len(votes.judgment_digests),
        "votes": votes.item.size,
        "ties": int(np.sum(votes.side == 0.0)),
        "both_bad": int(np.sum(votes.both_bad)),
        "order_unknown": int(np.sum(votes.shown == 0.0)),
        "items": votes.n_items,
        "pairs": int(np.sum(voted | gold)),
        "items_without_votes_or_gold": int(np.sum(~voted & ~gold)),
        "gold_items": int(np.sum(gold)),
        "raters": votes.n_raters,
        "raters_unverified": sum(any(n.startswith("unverified") for n in rater.notes) for rater in trust),
        "raters_below_chance": sum(rater.high < 0.5 for rater in trust),
        "raters_in_blocs": sum(any(n.startswith("agrees with") for n in rater.notes) for rater in trust),
    }


def _agreement(votes: Votes, settings: AggregateSettings) -> dict[str, float | None]:
    counts = value_counts(votes)
    alpha = alpha_interval(counts, seed=settings.seed)
    return {
        "alpha": _number(alpha.value),
        "alpha_low": _number(alpha.low),
        "alpha_high": _number(alpha.high),
        "pairwise": _number(pairwise_agreement(counts)),
    }


def _held_out(checked: HeldOut, temperature: float, settings: AggregateSettings) -> dict[str, float | int | None]:
    raw = cooled(checked.log_odds, 1.0, settings.max_log_odds)
    return {
        "items": checked.gold.size,
        "folds": settings.folds if checked.gold.size else 0,
        "majority_accuracy": _number(accuracy_of(checked.majority, checked.gold)),
        "reliability_accuracy": _number(accuracy_of(raw, checked.gold)),
        "ece_raw": _number(calibration_error(raw, checked.gold)),
        "ece_cooled": _number(
            calibration_error(cooled(checked.log_odds, temperature, settings.max_log_odds), checked.gold)
        ),
        "ece_majority": _number(calibration_error(checked.majority, checked.gold)),
    }


def _model(fit: Fit, temperature: float) -> dict[str, float | int]:
    return {
        "prior_right": fit.prior.right,
        "prior_wrong": fit.prior.wrong,
        "temperature": temperature,
        "iterations": fit.iterations,
        "mean_position_bias": float(np.mean(fit.bias)) if fit.bias.size else 0.0,
        "mean_accuracy": float(np.mean(expit(fit.skill))) if fit.skill.size else 0.0,
        "effective_votes": float(np.sum(fit.independence)),
    }


def _same_side(votes: Votes, p_a: Floats) -> float | None:
    """Share of voted items without gold on which both algorithms name the same side."""
    voted = (np.bincount(votes.item, minlength=votes.n_items) > 0) & np.isnan(votes.gold)
    if not voted.any():
        return None
    majority = majority_share(votes)[voted]
    return float(np.mean(np.sign(np.round(majority - 0.5, 9)) == np.sign(np.round(p_a[voted] - 0.5, 9))))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
