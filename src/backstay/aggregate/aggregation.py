"""The entry of the aggregate stage: tasks and judgments in, pairs and trust out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.calibration import cooled, fit_temperature, held_out
from backstay.aggregate.content import Witness
from backstay.aggregate.difficulty import item_difficulty
from backstay.aggregate.evidence import dispute, pair_weight, tie_share, voice
from backstay.aggregate.fitted import Fitted, fit_votes, settled_gold
from backstay.aggregate.flip_numbers import FlipNumbers, flip_numbers, flip_summary
from backstay.aggregate.majority import majority_share
from backstay.aggregate.plurality import find_plurality, judged_by_their_own, plurality_summary, rule
from backstay.aggregate.rater_reports import rater_trust
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.summary import summarise
from backstay.aggregate.votes import Floats, Votes, collect_votes, tally
from backstay.records import Audit, Judgment, Pair, Rater, RaterTrust, Task, content_hash, content_id


@dataclass(frozen=True)
class Aggregation:
    """What aggregation hands on: pairs for training, trust in raters, and figures for the report (JSON data)."""

    pairs: list[Pair]
    trust: list[RaterTrust]
    summary: dict[str, Any]


def aggregate(
    tasks: Iterable[Task],
    judgments: Iterable[Judgment],
    settings: AggregateSettings | None = None,
    *,
    topics: Mapping[str, str] | None = None,
    audits: Iterable[Audit] = (),
    raters: Iterable[Rater] = (),
    witness: Witness | None = None,
) -> Aggregation:
    """Aggregate judgments into one pair for each two responses that were compared or have a gold answer.

    `topics` names the topic of prompts, by id; `audits` are answers of trusted people to pairs that were drawn for
    them; `raters` say who is of which cohort; `witness` judges the content of responses. Deterministic.
    Input that cannot be used is counted in `summary["dropped"]`, never an error.
    """
    settings = settings or AggregateSettings()
    votes, audited = _collected(tasks, judgments, audits)
    fitted = fit_votes(votes, audited, topics or {}, settings, witness)
    checked = held_out(votes, fitted)
    enough = checked.gold.size >= settings.min_calibration_items
    temperature = fit_temperature(checked.log_odds, checked.gold) if enough else 1.0
    plurality = find_plurality(votes, fitted, raters, temperature)
    trust = rater_trust(votes, judged_by_their_own(plurality, fitted))
    reliability = reliability_p_a(votes, fitted, temperature)
    chosen, factor = rule(plurality, reliability, fitted)
    flips = flip_numbers(fitted.columns, fitted.fit)
    pairs = _pairs(
        votes, chosen if settings.algorithm == "reliability" else majority_share(votes), factor, flips, fitted
    )
    summary = summarise(votes, fitted, checked, temperature, reliability, trust) | {
        "flip_numbers": flip_summary(fitted.columns, flips),
        "cohorts": plurality_summary(plurality, fitted, np.array([row.trust for row in trust])),
    }
    return Aggregation(pairs, trust, summary)


def _collected(
    tasks: Iterable[Task], judgments: Iterable[Judgment], audits: Iterable[Audit]
) -> tuple[Votes, NDArray[np.bool_]]:
    votes = collect_votes(tasks, judgments)
    gold, audited, unknown = settled_gold(votes, {audit.pair: audit.winner for audit in audits})
    dropped = votes.dropped | ({"audit_of_unknown_pair": unknown} if unknown else {})
    return replace(votes, gold=gold, dropped=dropped), audited


def reliability_p_a(votes: Votes, fitted: Fitted, temperature: float) -> Floats:
    """Probability of a for I items: cooled posterior, drawn to one half by the share of ties; gold as settled."""
    settings = fitted.settings
    p_a = cooled(fitted.fit.log_odds, temperature, settings.max_log_odds)
    ties = tie_share(votes, voice(votes, fitted))
    p_a = (1.0 - ties) * p_a + ties * 0.5
    settled = np.where(votes.gold > 0.5, settings.gold_confidence, 1.0 - settings.gold_confidence)
    return np.where(np.isnan(votes.gold), p_a, settled)


def _pairs(votes: Votes, p_a: Floats, factor: Floats, flips: FlipNumbers, fitted: Fitted) -> list[Pair]:
    weight = pair_weight(votes, fitted) * factor
    disputed, hard = dispute(votes, voice(votes, fitted)), item_difficulty(fitted)
    count = np.bincount(votes.item, minlength=votes.n_items)
    both_bad = tally(votes.item, votes.both_bad, votes.n_items)
    rows = np.split(votes.judgment, np.cumsum(count)[:-1]) if votes.n_items else []
    return [
        Pair(
            id=content_id("pair", [item.prompt_id, item.a, item.b, item.dimension]),
            prompt_id=item.prompt_id,
            a=item.a,
            b=item.b,
            dimension=item.dimension,
            p_a=float(p_a[i]),
            weight=float(weight[i]),
            dispute=float(disputed[i]),
            n_raters=int(count[i]),
            provenance={
                "algorithm": fitted.settings.algorithm,
                "judgments": int(count[i]),
                "judgments_digest": content_hash(sorted(votes.judgment_digests[j] for j in rows[i])),
                "both_bad": int(both_bad[i]),
                "difficulty": float(hard[i]),
                "flip_number": int(flips.number[i]),
                "gold": bool(~np.isnan(votes.gold[i])),
            },
        )
        for i, item in enumerate(votes.items)
        if count[i] or not np.isnan(votes.gold[i])
    ]
