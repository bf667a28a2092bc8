"""Cohorts in an aggregation: where honest people differ, what rule makes one answer of it, and whose trust it costs."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.cohort_bias import bias_audit, bias_summary
from backstay.aggregate.cohort_differences import CohortDifference, cohort_differences, differences_summary
from backstay.aggregate.cohorts import (
    Cohorts,
    cohort_alpha,
    cohort_answers,
    cohort_labels,
    cohort_p_a,
    cohorts_of,
    own_truths,
    passing_cohorts,
    ruled,
)
from backstay.aggregate.fitted import Fitted
from backstay.aggregate.reliability import fit_columns
from backstay.aggregate.trust import Known, known_of
from backstay.aggregate.votes import Floats, Votes
from backstay.records import Rater

LEVEL = 0.05
"""Corrected p-value up to which two cohorts are said to differ."""


@dataclass(frozen=True)
class Plurality:
    """Cohorts, their tested differences, and their own probabilities of a (I, C)."""

    cohorts: Cohorts
    differences: tuple[CohortDifference, ...]
    p_a: Floats
    divergence: float


def find_plurality(votes: Votes, fitted: Fitted, raters: Iterable[Rater], temperature: float) -> Plurality | None:
    """What the cohorts say by the field that the settings name; None where it is not named or nobody has it."""
    settings = fitted.settings
    if not settings.cohort_field:
        return None
    labels = cohort_labels(votes.rater_ids, raters, settings.cohort_field)
    cohorts = cohorts_of([labels[owner] for owner in fitted.fit.voices.owner])
    if not cohorts.size:
        return None
    answers = cohort_answers(fitted.columns, fitted.fit, cohorts)
    differences = cohort_differences(
        fitted.columns, fitted.fit, cohorts, answers, permutations=settings.cohort_permutations, seed=settings.seed
    )
    return Plurality(cohorts, differences, cohort_p_a(answers, temperature, settings.max_log_odds), answers.divergence)


def rule(found: Plurality | None, pooled: Floats, fitted: Fitted) -> tuple[Floats, Floats]:
    """Probability of a (I) and factor of the weight (I) by the rule that the settings name."""
    if found is None:
        return pooled, np.ones(pooled.size)
    settings = fitted.settings
    return ruled(
        settings.cohort_rule,
        pooled,
        found.p_a,
        population=settings.cohort_population or None,
        names=found.cohorts.names,
    )


def judged_by_their_own(found: Plurality | None, fitted: Fitted) -> Fitted:
    """The fit that trust is read from: members of a cohort that differs and passes gold are judged by each other.

    Honest disagreement with other cohorts then costs nobody trust. A cohort that fails gold, or saw none, is judged
    like everyone: a label alone is only a claim.
    """
    if found is None:
        return fitted
    differing = _differing(found) & passing_cohorts(fitted.columns, found.cohorts)
    if not differing.any():
        return fitted
    columns = own_truths(fitted.columns, found.cohorts, differing)
    fit = fit_columns(columns, fitted.settings, fitted.fit.voices, fitted.starts)
    known: Known = known_of(columns, fit, fitted.settings)
    return replace(fitted, columns=columns, fit=fit, known=known)


def _differing(found: Plurality) -> NDArray[np.bool_]:
    names = {name for row in found.differences if row.p_corrected <= LEVEL for name in (row.first, row.second)}
    return np.array([name in names for name in found.cohorts.names], dtype=np.bool_)


def plurality_summary(found: Plurality | None, fitted: Fitted, trust: Floats) -> dict[str, Any] | None:
    """Cohorts as JSON data: agreement within, differences between, and what the aggregation gives each."""
    if found is None:
        return None
    columns, settings = fitted.columns, fitted.settings
    alpha = cohort_alpha(columns, found.cohorts, seed=settings.seed)
    audit = bias_audit(columns, fitted.fit, found.cohorts, trust[fitted.fit.voices.owner], seed=settings.seed)
    return {
        "field": settings.cohort_field,
        "rule": settings.cohort_rule,
        "divergence": found.divergence,
        "alpha": {
            name: None if np.isnan(interval.value) else interval.value
            for name, interval in zip(found.cohorts.names, alpha, strict=True)
        },
        "differences": differences_summary(found.differences, level=LEVEL),
        "bias": bias_summary(audit),
    }
