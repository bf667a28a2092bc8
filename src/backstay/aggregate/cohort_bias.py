"""Does the aggregation treat cohorts alike: trust, weight and accuracy on gold of each, with intervals and a warning.

docs/aggregate/plurality.md.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.agreement import Interval
from backstay.aggregate.cohorts import Cohorts
from backstay.aggregate.columns import VoteColumns
from backstay.aggregate.kernels import SURE
from backstay.aggregate.reliability import Fit, right_wrong
from backstay.aggregate.votes import Floats, tally

DRAWS = 1000
MIN_GOLD = 20
"""Judgments on gold that a cohort and the rest must have before their weights are compared."""

NAN = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class CohortBias:
    """One cohort; intervals are 95 % bootstraps over raters, NaN where undefined.

    `weight` is the mean evidence of a directional vote in log-odds, negative when read backwards. `relative_weight`:
    what the cohort is given over what its accuracy on gold explains, in units of the same ratio of the other cohorts;
    1 = treated alike, 0.8 = a fifth less than the gold explains. `warning` is "" unless that is shown to be less.
    """

    cohort: str
    raters: int
    votes: int
    gold_votes: int
    trust: Interval
    weight: Interval
    gold_accuracy: Interval
    relative_weight: Interval
    warning: str


@dataclass(frozen=True)
class _Record:
    """Of some raters: trust, evidence given, directional votes, their shares, gold right and seen, counts, prior."""

    trust: Floats
    given: Floats
    votes: Floats
    shares: Floats
    right: Floats
    seen: Floats
    counts: Floats
    prior: Floats

    def of(self, chosen: NDArray[np.bool_]) -> "_Record":
        """Those of `chosen`."""
        return _Record(*(column[chosen] for column in vars(self).values()))


def bias_audit(
    columns: VoteColumns, fit: Fit, cohorts: Cohorts, trust: Floats, *, least: float = 0.9, seed: int = 0
) -> tuple[CohortBias, ...]:
    """Audit each cohort. `trust` (R) is what raters are reported to have.

    It warns where the relative weight is below `least` and its upper bound, corrected for the number of cohorts, below
    1. Gold answers that anchored the fit serve here as the raters' record; what is audited is the weight of all votes.
    """
    record = _record(columns, fit, trust)
    return tuple(_audited(cohorts, c, record, least, np.random.default_rng([seed, c])) for c in range(cohorts.size))


def bias_summary(found: Sequence[CohortBias]) -> list[dict[str, Any]]:
    """The audit as JSON data; None stands for what is not defined."""
    return [
        {
            key: {name: None if np.isnan(x) else float(x) for name, x in value.items()}
            if isinstance(value, dict)
            else value
            for key, value in asdict(row).items()
        }
        for row in found
    ]


def _record(columns: VoteColumns, fit: Fit, trust: Floats) -> _Record:
    rater, size = columns.rater.astype(np.int64), columns.n_raters
    gold = columns.gold[columns.item]
    spoke = columns.side != 0
    known = spoke & (gold != 0)
    return _Record(
        trust=trust,
        given=tally(rater, fit.evidence * columns.side, size),
        votes=tally(rater, spoke, size),
        shares=tally(rater, columns.share * spoke, size),
        right=tally(rater, known & (columns.side == gold), size),
        seen=tally(rater, known, size),
        counts=np.add(*right_wrong(fit.cells)),
        prior=fit.population[fit.voices.row],
    )


def _audited(cohorts: Cohorts, c: int, record: _Record, least: float, rng: np.random.Generator) -> CohortBias:
    voted = record.votes > 0
    own, rest = record.of(voted & (cohorts.code == c)), record.of(voted & (cohorts.code >= 0) & (cohorts.code != c))
    n = own.votes.size
    drawn = rng.multinomial(n, np.full(n, 1.0 / n), DRAWS).astype(np.float64) if n else np.zeros((DRAWS, 0))
    relative, upper = _relative(own, rest, drawn, rng, 1.0 - 0.05 / cohorts.size)
    warned = relative.value < least and upper < 1.0
    return CohortBias(
        cohort=cohorts.names[c],
        raters=n,
        votes=int(own.votes.sum()),
        gold_votes=int(own.seen.sum()),
        trust=_interval(drawn, own.trust, np.ones(n)),
        weight=_interval(drawn, own.given, own.votes),
        gold_accuracy=_interval(drawn, own.right, own.seen),
        relative_weight=relative,
        warning=f"its votes weigh {1.0 - relative.value:.0%} less than its accuracy on gold explains" if warned else "",
    )


def _interval(drawn: Floats, numerator: Floats, denominator: Floats) -> Interval:
    """Ratio of sums over raters with a bootstrap interval."""
    if denominator.sum() <= 0.0:
        return NAN
    below = drawn @ denominator
    ratio = (drawn @ numerator)[below > 0.0] / below[below > 0.0]
    low, high = np.quantile(ratio, [0.025, 0.975])
    return Interval(float(numerator.sum() / denominator.sum()), float(low), float(high))


def _relative(
    own: _Record, rest: _Record, drawn: Floats, rng: np.random.Generator, level: float
) -> tuple[Interval, float]:
    """Relative weight, and its one-sided upper bound at `level`."""
    if own.seen.sum() < MIN_GOLD or rest.seen.sum() < MIN_GOLD:
        return NAN, float("nan")
    m = rest.votes.size
    value = _given_over_explained(np.ones(own.votes.size), own) / _given_over_explained(np.ones(m), rest)
    ratios = np.array(
        [
            _given_over_explained(draw, own)
            / _given_over_explained(rng.multinomial(m, np.full(m, 1.0 / m)).astype(np.float64), rest)
            for draw in drawn
        ]
    )
    if np.isnan(value) or np.isnan(ratios).mean() > 0.01:
        return NAN, float("nan")
    low, high, upper = np.nanquantile(ratios, [0.025, 0.975, level])
    return Interval(value, float(low), float(high)), float(upper)


def _given_over_explained(times: Floats, record: _Record) -> float:
    """Evidence given over what the model would give raters of this accuracy on gold with as many votes.

    Each rater's accuracy is shrunk to the population as the fit shrinks it. NaN where the gold explains none.
    """
    accuracy = (times @ record.right + 1.0) / (times @ record.seen + 2.0)
    shrunk = (record.counts * accuracy + record.prior[:, 0]) / (record.counts + record.prior.sum(axis=1))
    shrunk = np.minimum(shrunk, SURE)
    explained = float(times @ (record.shares * np.log(shrunk / (1.0 - shrunk))))
    return float(times @ record.given) / explained if accuracy > 0.5 and explained > 0.0 else float("nan")
