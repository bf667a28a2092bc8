"""Cohorts of raters: where they honestly differ, what each of them prefers, and whose answer a label follows.

Model: an item has one common truth z; a cohort's own truth z_c equals z but with probability `divergence` is a fair
coin. A cohort's log-odds are its own votes' evidence plus what the other cohorts say, which that chance of differing
bounds. Accuracies of raters are the pooled fit's. docs/aggregate/plurality.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import beta

from backstay.aggregate.agreement import Interval, alpha_interval
from backstay.aggregate.calibration import cooled
from backstay.aggregate.columns import Index, VoteColumns
from backstay.aggregate.reliability import Fit
from backstay.aggregate.votes import Floats, tally
from backstay.errors import UsageError
from backstay.records import Rater

Rule = Literal["pooled", "per_cohort", "min_over_cohorts"]
DIVERGENCES = np.array([0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.17, 0.23, 0.3, 0.4, 0.5, 0.65, 0.8])
"""Chances of a cohort's truth being its own that are tried; the prior on them is Beta(1, 9), mean 0.1."""

MAX_EVIDENCE = 30.0
"""Bound of log-odds that are passed on."""


@dataclass(frozen=True)
class Cohorts:
    """Names of C cohorts and the cohort of each of R raters, -1 where unlabelled (counted in pooled figures only)."""

    names: tuple[str, ...]
    code: Index

    @property
    def size(self) -> int:
        """C."""
        return len(self.names)


def cohorts_of(labels: Sequence[str | None]) -> Cohorts:
    """Cohorts from one label for each rater; None and "" are unlabelled."""
    names = tuple(sorted({label for label in labels if label}))
    number = {name: k for k, name in enumerate(names)}
    return Cohorts(names, np.array([number[label] if label else -1 for label in labels], dtype=np.int32))


def cohort_labels(rater_ids: Sequence[str], raters: Iterable[Rater], field: str) -> list[str | None]:
    """The label in `field` of `Rater.cohort` for each rater id."""
    label = {rater.id: rater.cohort.get(field) for rater in raters}
    return [label.get(rater_id) for rater_id in rater_ids]


@dataclass(frozen=True)
class CohortAnswers:
    """Log-odds (I, C) of each cohort's own truth, the evidence (I, C) of its votes, and votes with a side (I, C)."""

    log_odds: Floats
    evidence: Floats
    votes: Floats
    divergence: float


def cohort_answers(
    columns: VoteColumns, fit: Fit, cohorts: Cohorts, *, divergence: float | None = None
) -> CohortAnswers:
    """What each cohort prefers, shrunk to the pooled answer; `divergence` is fitted where it is None.

    A gold item has one answer for all.
    """
    code = cohorts.code[columns.rater]
    labelled = code >= 0
    cell = columns.item[labelled] * cohorts.size + code[labelled]
    shape, size = (columns.n_items, cohorts.size), columns.n_items * cohorts.size
    evidence = tally(cell, fit.evidence[labelled], size).reshape(shape)
    votes = tally(cell, columns.side[labelled] != 0, size).reshape(shape)
    rest = fit.log_odds - evidence.sum(axis=1)
    open_ = columns.gold == 0
    chance = fit_divergence(rest[open_], evidence[open_], votes[open_]) if divergence is None else divergence
    told = through(evidence, chance)
    common = rest[:, None] + told.sum(axis=1, keepdims=True) - told
    log_odds = evidence + through(common, chance)
    return CohortAnswers(np.where(open_[:, None], log_odds, fit.log_odds[:, None]), evidence, votes, chance)


def through(log_odds: Floats, divergence: float) -> Floats:
    """Log-odds of one truth from those of another that equals it but, with chance `divergence`, is a fair coin."""
    result: Floats = 2.0 * np.arctanh(
        (1.0 - divergence) * np.tanh(np.clip(log_odds, -MAX_EVIDENCE, MAX_EVIDENCE) / 2.0)
    )
    return result


def fit_divergence(rest: Floats, evidence: Floats, votes: Floats) -> float:
    """Posterior mode on a grid of the chance that a cohort's truth is its own, from items that two cohorts voted on."""
    chosen = (votes > 0).sum(axis=1) >= 2
    rest, evidence = np.clip(rest[chosen], -MAX_EVIDENCE, MAX_EVIDENCE), evidence[chosen]
    score = 8.0 * np.log1p(-DIVERGENCES)
    for k, chance in enumerate(DIVERGENCES):
        both = np.stack([_side_likelihood(evidence, chance, side) for side in (1.0, -1.0)])
        prior = np.stack([-np.logaddexp(0.0, -rest), -np.logaddexp(0.0, rest)])
        score[k] += float(np.sum(logsumexp(both + prior, axis=0)))
    return float(DIVERGENCES[np.argmax(score)])


def _side_likelihood(evidence: Floats, chance: float, side: float) -> Floats:
    """Log-likelihood (I) of all cohorts' votes where the common truth is `side`, up to what no chance changes."""
    own = np.logaddexp(
        np.log(1.0 - chance / 2.0) - np.logaddexp(0.0, -side * evidence),
        np.log(chance / 2.0) - np.logaddexp(0.0, side * evidence),
    )
    total: Floats = own.sum(axis=1)
    return total


def ruled(
    rule: Rule, pooled: Floats, by_cohort: Floats, *, population: Mapping[str, float] | None = None,
    names: Sequence[str] = (),
) -> tuple[Floats, Floats]:  # fmt: skip
    """One probability for a (I) and a factor of the weight (I) from the pooled ones (I) and each cohort's (I, C).

    `pooled`: as if there were no cohorts. `per_cohort`: the mean over cohorts, each counting the same, or by its share
    in `population` (of `names`). `min_over_cohorts`: how sure the least sure cohort is of the side that all take; 1/2
    and weight 0 where they take different sides: the label holds for every cohort or there is none. Every rule is
    symmetric in a and b. Raises UsageError where `population` has no share for any of the cohorts.
    """
    one = np.ones(pooled.size)
    if rule == "pooled" or by_cohort.shape[1] == 0:
        return pooled, one
    if rule == "per_cohort":
        share = np.array([population.get(name, 0.0) for name in names] if population else np.ones(by_cohort.shape[1]))
        if share.sum() <= 0.0:
            raise UsageError(
                f"population gives no share to any cohort; it names {sorted(population or ())}",
                cure=f"give shares of {', '.join(names)}, or leave population out",
            )
        return by_cohort @ (share / share.sum()), one
    low, high = by_cohort.min(axis=1), by_cohort.max(axis=1)
    return np.clip(0.5, low, high), np.where((low < 0.5) & (high > 0.5), 0.0, 1.0)


def cohort_p_a(answers: CohortAnswers, temperature: float, bound: float) -> Floats:
    """Probabilities (I, C) for a, cooled and bounded as the pooled ones are."""
    return cooled(answers.log_odds, temperature, bound)


def passing_cohorts(columns: VoteColumns, cohorts: Cohorts, *, least: float = 0.6) -> NDArray[np.bool_]:
    """Whether each cohort (C) passes gold: the 95 % lower bound of its raters' accuracy there is above `least`."""
    gold = columns.gold[columns.item]
    known = (gold != 0) & (columns.side != 0) & (cohorts.code[columns.rater] >= 0)
    code = cohorts.code[columns.rater][known].astype(np.int64)
    right = tally(code, columns.side[known] == gold[known], cohorts.size)
    seen = tally(code, np.ones(code.size), cohorts.size)
    return np.asarray(beta.ppf(0.025, 1.0 + right, 1.0 + seen - right) > least)


def own_truths(columns: VoteColumns, cohorts: Cohorts, differing: NDArray[np.bool_]) -> VoteColumns:
    """Columns in which the votes of cohort c on open items are on items of its own, where `differing[c]` (C).

    A fit of them judges the raters of such a cohort by each other and by gold, so that honest disagreement with other
    cohorts costs nobody trust. The items of the pooled answer stay first, in order.
    """
    code = cohorts.code[columns.rater]
    item = columns.item
    apart = (code >= 0) & differing[np.maximum(code, 0)] & (columns.gold[item] == 0)
    new_item = np.where(apart, columns.n_items * (1 + code) + item, item)
    kept, number = np.unique(np.append(np.arange(columns.n_items), new_item), return_inverse=True)
    new_item = number[columns.n_items :]
    order = np.argsort(new_item, kind="stable")
    world, old = kept // columns.n_items, kept % columns.n_items
    shift = (world * columns.n_responses).astype(np.int32)
    return columns._replace(
        start=np.concatenate([[0], np.cumsum(np.bincount(new_item, minlength=kept.size))]).astype(np.int64),
        rater=columns.rater[order], side=columns.side[order], shown=columns.shown[order], share=columns.share[order],
        a=columns.a[old] + shift, b=columns.b[old] + shift, gold=columns.gold[old],
        n_responses=columns.n_responses * (1 + cohorts.size),
    )  # fmt: skip


def cohort_alpha(columns: VoteColumns, cohorts: Cohorts, *, seed: int = 0) -> tuple[Interval, ...]:
    """Krippendorff's alpha among the raters of each cohort, over items with two of their votes."""
    code = cohorts.code[columns.rater]
    found = []
    for c in range(cohorts.size):
        own = code == c
        cell = columns.item[own] * 3 + columns.side[own].astype(np.int64) + 1
        found.append(alpha_interval(tally(cell, np.ones(cell.size), 3 * columns.n_items).reshape(-1, 3), seed=seed))
    return tuple(found)
