"""Are cohorts of raters treated alike: an audit, from a fitted aggregation that knows nothing of cohorts.

Cohorts of fewer than `LEAST` raters are neither named nor counted, since a figure of theirs would be one about persons.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from backstay.aggregate.agreement import Interval
from backstay.aggregate.cohort_bias import CohortBias, bias_audit
from backstay.aggregate.cohort_differences import cohort_differences
from backstay.aggregate.cohorts import Cohorts, cohort_alpha, cohort_answers, cohort_labels, cohorts_of
from backstay.aggregate.fitted import Fitted
from backstay.aggregate.votes import Floats
from backstay.records import Rater

LEAST = 5
"""Raters from which on a cohort is shown."""

MOST_FIELDS, MOST_COHORTS = 8, 24

Json = dict[str, Any]


def audit_cohorts(
    general: Fitted, rater_ids: Sequence[str], people: Sequence[Rater], trust: Floats, *, differences: bool
) -> list[Json]:
    """One audit for each field that raters' records have, in order of name, as JSON data.

    `trust` is by rater. `differences`: whether pairs of cohorts are tested too, which takes a while.
    """
    mine = set(rater_ids)
    fields = sorted({field for person in people if person.id in mine for field in person.cohort})[:MOST_FIELDS]
    return [_audit(general, rater_ids, people, trust, field, differences) for field in fields]


def shown_labels(labels: Sequence[str | None]) -> tuple[list[str | None], int]:
    """The labels without those of small cohorts, and how many cohorts these are."""
    size = Counter(label for label in labels if label)
    kept = {label for label, n in size.most_common(MOST_COHORTS) if n >= LEAST}
    return [label if label in kept else None for label in labels], len(size) - len(kept)


def _audit(
    general: Fitted,
    rater_ids: Sequence[str],
    people: Sequence[Rater],
    trust: Floats,
    field: str,
    differences: bool,
) -> Json:
    labels, hidden = shown_labels(cohort_labels(rater_ids, people, field))
    cohorts = cohorts_of(labels)
    audit = bias_audit(general.columns, general.fit, cohorts, trust) if cohorts.size else ()
    alphas = cohort_alpha(general.columns, cohorts) if cohorts.size else ()
    groups = [_group(row, alpha) for row, alpha in zip(audit, alphas, strict=True)]
    tested = _differences(general, cohorts) if differences and cohorts.size > 1 else None
    return {"field": field, "groups": groups, "hidden": hidden, "least": LEAST, "differences": tested}


def _group(row: CohortBias, alpha: Interval) -> Json:
    return {
        "cohort": row.cohort,
        "raters": row.raters,
        "votes": row.votes,
        "gold_votes": row.gold_votes,
        "trust": interval_json(row.trust),
        "weight": interval_json(row.weight),
        "gold_accuracy": interval_json(row.gold_accuracy),
        "relative_weight": interval_json(row.relative_weight),
        "alpha": interval_json(alpha),
        "warning": row.warning,
    }


def _differences(general: Fitted, cohorts: Cohorts) -> list[Json]:
    answers = cohort_answers(general.columns, general.fit, cohorts)
    found = cohort_differences(general.columns, general.fit, cohorts, answers, permutations=499)
    return [
        {
            "first": row.first,
            "second": row.second,
            "shared_items": row.shared_items,
            "shortfall": row.statistic,
            "p_corrected": row.p_corrected,
            "items": len(row.items),
        }
        for row in found
    ]


def interval_json(interval: Interval) -> Json | None:
    """An interval as JSON data; None where it is not defined."""
    if math.isnan(interval.value):
        return None
    low, high = (None if math.isnan(end) else end for end in (interval.low, interval.high))
    return {"value": interval.value, "low": low, "high": high}
