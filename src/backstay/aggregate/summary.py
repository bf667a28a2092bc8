"""The figures of an aggregation: everything counted, both algorithms side by side."""

import math
from typing import Any

import numpy as np

from backstay.aggregate.agreement import agreement_interval, alpha_interval, kappa_interval, value_counts
from backstay.aggregate.calibration import HeldOut, accuracy_of, calibration_error, cooled, cross_cooled
from backstay.aggregate.columns import Index
from backstay.aggregate.contexts import suspected_by
from backstay.aggregate.fitted import Fitted, in_general
from backstay.aggregate.majority import majority_share
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.shifts import earlier_votes
from backstay.aggregate.source_evidence import CopyGroup, SignalTest
from backstay.aggregate.trust import Group
from backstay.aggregate.votes import Floats, Item, Votes
from backstay.records import RaterTrust, content_id


def summarise(
    votes: Votes, fitted: Fitted, checked: HeldOut, temperature: float, p_a: Floats, trust: list[RaterTrust]
) -> dict[str, Any]:
    """Figures as JSON data; None stands for what is not defined."""
    settings = fitted.settings
    return {
        "algorithm": settings.algorithm,
        "counts": _counts(votes, trust),
        "dropped": dict(sorted(votes.dropped.items())),
        "agreement": _agreement(votes, settings),
        "held_out_gold": _held_out(checked, settings),
        "model": _model(fitted, temperature),
        "blocs": [_bloc(group, fitted.fit.voices.owner, settings) for group in fitted.groups],
        "same_source": [_copied(group, votes) for group in fitted.copied],
        "algorithms_agree": _same_side(votes, p_a),
        "dimensions": _dimensions(fitted),
        "shifts": _shifts(votes, fitted),
        "topics": _topics(fitted, settings),
        "audit": [_pair_id(votes.items[i]) for i in fitted.topics.proposed],
        "warnings": _warnings(votes, fitted),
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
        "raters_in_blocs": sum(any(n.startswith("acts as one") for n in rater.notes) for rater in trust),
    }


def _agreement(votes: Votes, settings: AggregateSettings) -> dict[str, float | None]:
    counts = value_counts(votes)
    alpha, kappa, pairwise = (
        interval(counts, seed=settings.seed) for interval in (alpha_interval, kappa_interval, agreement_interval)
    )
    return {
        "alpha": _number(alpha.value),
        "alpha_low": _number(alpha.low),
        "alpha_high": _number(alpha.high),
        "fleiss_kappa": _number(kappa.value),
        "fleiss_kappa_low": _number(kappa.low),
        "fleiss_kappa_high": _number(kappa.high),
        "pairwise": _number(pairwise.value),
        "pairwise_low": _number(pairwise.low),
        "pairwise_high": _number(pairwise.high),
    }


def _held_out(checked: HeldOut, settings: AggregateSettings) -> dict[str, float | int | None]:
    raw = cooled(checked.log_odds, 1.0, settings.max_log_odds)
    return {
        "items": checked.gold.size,
        "folds": settings.folds if checked.gold.size else 0,
        "majority_accuracy": _number(accuracy_of(checked.majority, checked.gold)),
        "reliability_accuracy": _number(accuracy_of(raw, checked.gold)),
        "ece_raw": _number(calibration_error(raw, checked.gold)),
        "ece_cooled": _number(calibration_error(cross_cooled(checked, settings.max_log_odds), checked.gold)),
        "ece_majority": _number(calibration_error(checked.majority, checked.gold)),
    }


def _model(fitted: Fitted, temperature: float) -> dict[str, float | int | bool]:
    fit, general = fitted.fit, in_general(fitted)
    known = general.known
    return {
        "prior_right": float(general.fit.population[0, 0]),
        "prior_wrong": float(general.fit.population[0, 1]),
        "temperature": temperature,
        "iterations": fit.iterations,
        "converged": fit.converged,
        "mean_position_bias": float(np.mean(known.bias)) if known.bias.size else 0.0,
        "mean_accuracy": float(np.mean(known.accuracy)) if known.bias.size else 0.0,
        "effective_votes": float(np.sum(fit.independence)),
    }


def _bloc(group: Group, owner: Index, settings: AggregateSettings) -> dict[str, Any]:
    bloc = group.bloc
    return {
        "raters": bloc.size,
        "raters_named": int(np.unique(owner[bloc.membership >= settings.bloc_membership]).size),
        "copying": bloc.copying,
        "agreement": bloc.agreement,
        "expected_agreement": bloc.expected,
        "gain_nats": bloc.gain,
        "gold_right": group.gold_right,
        "gold_wrong": group.gold_wrong,
        "preference_group": group.preference,
        "false_alarms": group.false_alarms,
        "same_source": {test.signal: _signal(test) for test in group.evidence},
    }


def _signal(test: SignalTest) -> dict[str, float | int]:
    return {
        "shared": test.shared,
        "expected": test.expected,
        "p_value": test.p_value,
        "p_corrected": test.p_corrected,
    }


def _copied(group: CopyGroup, votes: Votes) -> dict[str, Any]:
    """Raters who give the same rationales and are in no bloc."""
    return {
        "raters": [votes.rater_ids[r] for r in group.raters],
        "texts": group.texts,
        "copies": group.copies,
        "false_alarms": group.false_alarms,
    }


def _dimensions(fitted: Fitted) -> list[dict[str, float | int | str]]:
    """What raters are in each dimension; nothing where there is only one."""
    voices, votes = fitted.fit.voices, np.bincount(fitted.columns.rater, minlength=fitted.columns.n_raters)
    found: list[dict[str, float | int | str]] = []
    for context in np.flatnonzero(voices.tied) if voices.hierarchical else ():
        mine = (voices.context == context) & (votes > 0)
        accuracy = fitted.known.accuracy[mine]
        found.append({"dimension": voices.names[context], "raters": int(mine.sum()), "votes": int(votes[mine].sum()),
                      "mean_accuracy": float(accuracy.mean()) if accuracy.size else 0.5})  # fmt: skip
    return found


def _shifts(votes: Votes, fitted: Fitted) -> list[dict[str, float | int | str]]:
    """Raters who changed, the clearest first."""
    earlier = earlier_votes(votes.rater, votes.time, fitted.shifts)
    before = np.bincount(votes.rater[earlier], minlength=votes.n_raters)
    count = np.bincount(votes.rater, minlength=votes.n_raters)
    return [
        {
            "rater": votes.rater_ids[shift.rater],
            "since": votes.times[votes.time[shift.first]],
            "votes_before": int(before[shift.rater]),
            "votes_since": int(count[shift.rater] - before[shift.rater]),
            "p_value": shift.p_value,
        }
        for shift in sorted(fitted.shifts, key=lambda shift: (shift.p_value, shift.rater))
    ]


def _topics(fitted: Fitted, settings: AggregateSettings) -> list[dict[str, Any]]:
    """What was found of each topic, most suspect first; `open_pairs` are the labels without gold that hang on it."""
    topics, columns = fitted.topics, fitted.columns
    open_ = (columns.gold == 0) & (np.bincount(columns.item, minlength=columns.n_items) > 0)
    pairs = np.bincount(topics.of_item[open_], minlength=len(topics.names))
    return [
        {
            "topic": topics.names[s.topic],
            "votes": s.votes,
            "open_pairs": int(pairs[s.topic]),
            "excess_contradictions": s.rate,
            "z": s.z,
            "content_z": s.content_z,
            "suspected_by": suspected_by(s, settings),
            "suspected": s.topic in topics.suspected,
            "judged_apart": s.topic in topics.adopted,
        }
        for s in topics.suspicions
    ]


def _warnings(votes: Votes, fitted: Fitted) -> list[str]:
    """What a person should know before believing the result."""
    said = []
    if votes.item.size and not np.any(~np.isnan(votes.gold)):
        said.append("no gold item: if most raters collude, the answer cannot be told from the opposite; add gold items")
    if fitted.groups and not np.any(~np.isnan(votes.gold)):
        said.append("raters act as one and no gold item says whether they or the others are right")
    for sign, words in (("votes", "votes contradict each other"), ("content", "answers do not follow their content")):
        names = _suspected_names(fitted, sign)
        if names:
            said.append(f"{words} on {', '.join(names)}: audit the pairs listed under `audit`")
    if not fitted.fit.converged:
        said.append("the fit had not settled after max_iterations sweeps")
    return said


def _suspected_names(fitted: Fitted, sign: str) -> list[str]:
    """Topics that await an audit for the sign of `votes` or of `content`."""
    topics = fitted.topics
    waiting = [s for s in topics.suspicions if s.topic in topics.suspected and s.topic not in topics.adopted]
    return [topics.names[s.topic] for s in waiting if sign in suspected_by(s, fitted.settings)]


def _pair_id(item: Item) -> str:
    return content_id("pair", [item.prompt_id, item.a, item.b, item.dimension])


def _same_side(votes: Votes, p_a: Floats) -> float | None:
    """Share of voted items without gold on which both algorithms name the same side."""
    voted = (np.bincount(votes.item, minlength=votes.n_items) > 0) & np.isnan(votes.gold)
    if not voted.any():
        return None
    majority = majority_share(votes)[voted]
    return float(np.mean(np.sign(np.round(majority - 0.5, 9)) == np.sign(np.round(p_a[voted] - 0.5, 9))))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
