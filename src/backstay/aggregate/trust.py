"""What is known of each rater: posterior mean accuracy with an interval, and remarks in words."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import beta

from backstay.aggregate.collusion import blocs
from backstay.aggregate.likelihood import accuracy
from backstay.aggregate.population import BetaPrior
from backstay.aggregate.reliability import Fit, comparable, unverified
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.votes import Floats, Votes, tally
from backstay.records import RaterTrust

GRID = (np.arange(200) + 0.5) / 200
"""Accuracies at which a rater's posterior is evaluated."""

UNVERIFIED_SIZE = 4.0
"""Judgments that the assumed accuracy of an unverified rater is worth in its interval."""

NOTED_BIAS = 1.0
"""Position bias in log-odds from which on it is remarked."""


@dataclass(frozen=True)
class TrustPosterior:
    """Mean and central 95 % interval of R raters' accuracies."""

    mean: Floats
    low: Floats
    high: Floats


def trust_posterior(votes: Votes, fit: Fit, gold: Floats, settings: AggregateSettings) -> TrustPosterior:
    """Posterior of each rater's accuracy on a grid, with the truth of each item judged without the rater's own vote.

    L_r(x) = Beta(x; prior) prod_j [q_j P(vote | x, right side) + (1 - q_j) P(vote | x, wrong side)] ** share, where q_j
    leaves vote j out. The position bias is held at its estimate; the other raters' accuracies too.
    """
    log_posterior = _log_likelihood(votes, fit, gold, settings) + _log_prior(fit.prior)[:, None]
    mass = np.exp(log_posterior - log_posterior.max(axis=0))
    mass /= mass.sum(axis=0)
    skill = logit(GRID)[:, None]
    mean = (mass * accuracy(skill, fit.bias[None, :])).sum(axis=0)
    low = accuracy(logit(_quantile(mass, 0.025)), fit.bias)
    high = accuracy(logit(_quantile(mass, 0.975)), fit.bias)
    return _fill_unverified(TrustPosterior(mean, low, high), unverified(votes, gold), settings)


def _log_likelihood(votes: Votes, fit: Fit, gold: Floats, settings: AggregateSettings) -> Floats:
    used = comparable(votes, gold)
    item, rater, side = votes.item[used], votes.rater[used], votes.side[used]
    bound = settings.max_log_odds
    anchored = np.where(gold[item] > 0.5, 1.0, -1.0) * logit(settings.gold_confidence)
    others = np.clip(fit.log_odds[item] - fit.evidence[used], -bound, bound)
    agrees = expit(side * np.where(np.isnan(gold[item]), others, anchored))
    lean = side * votes.shown[used] * fit.bias[rater]
    rows = []
    for skill in logit(GRID):
        likelihood = agrees * expit(skill + lean) + (1.0 - agrees) * expit(-skill + lean)
        rows.append(tally(rater, votes.share[used] * np.log(likelihood), votes.n_raters))
    return np.stack(rows)


def _log_prior(prior: BetaPrior) -> Floats:
    log_density: Floats = (prior.right - 1.0) * np.log(GRID) + (prior.wrong - 1.0) * np.log1p(-GRID)
    return log_density


def _quantile(mass: Floats, level: float) -> Floats:
    """Quantile of each column, linear within its grid cell."""
    total = np.cumsum(mass, axis=0)
    cell = np.argmax(total >= level, axis=0)
    column = np.arange(mass.shape[1])
    before = total[cell, column] - mass[cell, column]
    inside = (level - before) / np.maximum(mass[cell, column], 1e-300)
    return np.asarray(np.clip((cell + inside) / GRID.size, 1e-6, 1.0 - 1e-6), dtype=np.float64)


def _fill_unverified(known: TrustPosterior, missing: NDArray[np.bool_], settings: AggregateSettings) -> TrustPosterior:
    mean = settings.single_rater_accuracy
    a, b = UNVERIFIED_SIZE * mean, UNVERIFIED_SIZE * (1.0 - mean)
    low, high = float(beta.ppf(0.025, a, b)), float(beta.ppf(0.975, a, b))
    return TrustPosterior(
        np.where(missing, mean, known.mean), np.where(missing, low, known.low), np.where(missing, high, known.high)
    )


def rater_trust(votes: Votes, fit: Fit, gold: Floats, settings: AggregateSettings) -> list[RaterTrust]:
    """One record a rater; `weight` is the mean evidence of its votes in log-odds, negative when read backwards."""
    posterior = trust_posterior(votes, fit, gold, settings)
    on_gold = ~np.isnan(gold[votes.item])
    right = on_gold & (votes.side * (2.0 * np.nan_to_num(gold[votes.item]) - 1.0) > 0)
    count = np.bincount(votes.rater, minlength=votes.n_raters)
    seen = tally(votes.rater, on_gold, votes.n_raters)
    correct = tally(votes.rater, right, votes.n_raters)
    _, first = np.unique(votes.judgment, return_index=True)
    judged = np.bincount(votes.rater[first], minlength=votes.n_raters)
    weight = tally(votes.rater, fit.evidence * votes.side, votes.n_raters) / np.maximum(count, 1)
    notes = _notes(votes, fit, posterior, gold, settings)
    return [
        RaterTrust(
            rater_id=rater_id,
            trust=float(posterior.mean[r]),
            low=float(posterior.low[r]),
            high=float(posterior.high[r]),
            n_judgments=int(judged[r]),
            gold_seen=int(seen[r]),
            gold_right=int(correct[r]),
            weight=float(weight[r]),
            notes=notes[r],
        )
        for r, rater_id in enumerate(votes.rater_ids)
    ]


def _notes(
    votes: Votes, fit: Fit, posterior: TrustPosterior, gold: Floats, settings: AggregateSettings
) -> list[tuple[str, ...]]:
    missing = unverified(votes, gold)
    others, z = np.zeros(votes.n_raters, dtype=np.int64), np.zeros(votes.n_raters)
    if fit.co_agreement is not None:
        others, z = blocs(fit.co_agreement, settings.collusion_flag_z, votes.n_raters)
    reading = "read backwards" if settings.adversarial == "invert" else "ignored"
    notes = []
    for r in range(votes.n_raters):
        said = []
        if others[r]:
            said.append(f"agrees with {others[r]} others beyond chance: z={z[r]:.1f}")
        if missing[r]:
            said.append("unverified: no gold item and no second voice to compare with")
        elif posterior.high[r] < 0.5:
            said.append(f"more often wrong than right: {reading}")
        elif posterior.low[r] < 0.5:
            said.append("not shown to be better than chance")
        if abs(fit.bias[r]) >= NOTED_BIAS:
            said.append(f"leans to the {'first' if fit.bias[r] > 0 else 'second'} response: {abs(fit.bias[r]):.1f}")
        notes.append(tuple(said))
    return notes
