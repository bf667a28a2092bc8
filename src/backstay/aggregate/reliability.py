"""Rater reliability by EM: who is right how often, who leans to the first response, and what the truth then is.

A one-coin Dawid-Skene model (Dawid & Skene 1979) with a Beta population prior, a position bias per rater, gold items
as anchors, and votes of raters that agree beyond chance counted as fewer votes. docs/aggregate/reliability.md.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from backstay.aggregate.collusion import (
    CoAgreement,
    CoVotes,
    co_agreement,
    co_votes,
    design_effect_weights,
    predicted_agreement,
    residual_correlation,
)
from backstay.aggregate.likelihood import item_log_odds, vote_log_odds
from backstay.aggregate.population import START, BetaPrior, fit_prior
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.votes import Floats, Votes, tally

MAX_SKILL = 4.0
"""Bound of a rater's log-odds of being right (0.982): no single voice decides alone."""

NEWTON_STEPS = 4


@dataclass(frozen=True)
class Fit:
    """The fitted model.

    R raters' `skill` and `bias` in log-odds; N votes' `evidence`, already weighted, and `independence`; I items'
    `log_odds`; and what was found of co-agreement, None when it was not looked for.
    """

    skill: Floats
    bias: Floats
    prior: BetaPrior
    independence: Floats
    evidence: Floats
    log_odds: Floats
    co_agreement: CoAgreement | None
    iterations: int


def fit_reliability(votes: Votes, gold: Floats, settings: AggregateSettings) -> Fit:
    """Fit the model with `gold` (I, NaN = unknown), which may hold less than `votes.gold` does."""
    independence = np.ones(votes.item.size)
    skill = start_skill(votes, gold, settings)
    fit = _expect(votes, gold, skill, np.zeros(votes.n_raters), START, independence, settings)
    pairs = co_votes(votes.item, votes.rater, votes.side)
    rounds = settings.collusion_rounds if settings.collusion and pairs.first.size else 0
    found, iterations = None, 0
    for _ in range(rounds):
        found, independence = _deflate(votes, fit, pairs, settings)
        fit = _expect(votes, gold, fit.skill, fit.bias, fit.prior, independence, settings)
        fit = _converge(votes, gold, fit, settings)
        iterations += fit.iterations
    if not rounds:
        fit = _converge(votes, gold, fit, settings)
        iterations = fit.iterations
    return Fit(fit.skill, fit.bias, fit.prior, fit.independence, fit.evidence, fit.log_odds, found, iterations)


def comparable(votes: Votes, gold: Floats) -> NDArray[np.bool_]:
    """Which of N votes can be compared with something: a gold answer or another directional vote on the item."""
    directional = tally(votes.item, np.abs(votes.side), votes.n_items)
    checked: NDArray[np.bool_] = (votes.side != 0.0) & (~np.isnan(gold) | (directional >= 2.0))[votes.item]
    return checked


def unverified(votes: Votes, gold: Floats) -> NDArray[np.bool_]:
    """Which of R raters cast no comparable vote, so that nothing can be learned of them."""
    nothing: NDArray[np.bool_] = tally(votes.rater, comparable(votes, gold), votes.n_raters) == 0.0
    return nothing


def start_skill(votes: Votes, gold: Floats, settings: AggregateSettings) -> Floats:
    """Skill from gold answers and from agreement with the other voters of each item, shrunk to the start prior.

    Raters who cannot be compared with anything get the accuracy that the settings assume of them.
    """
    known = ~np.isnan(gold[votes.item])
    total = tally(votes.item, votes.side * votes.share, votes.n_items)
    others = np.sign(total[votes.item] - votes.side * votes.share)
    truth = np.where(known, 2.0 * np.nan_to_num(gold[votes.item]) - 1.0, others)
    weight = votes.share * np.where(known, settings.gold_weight, 1.0)
    right = tally(votes.rater, weight * (votes.side * truth > 0), votes.n_raters)
    wrong = tally(votes.rater, weight * (votes.side * truth < 0), votes.n_raters)
    skill = logit((right + START.right) / (right + wrong + START.right + START.wrong))
    return np.where(unverified(votes, gold), logit(settings.single_rater_accuracy), skill)


def _converge(votes: Votes, gold: Floats, fit: Fit, settings: AggregateSettings) -> Fit:
    sweeps = 0
    while sweeps < settings.max_iterations:
        sweeps += 1
        before = expit(fit.log_odds)
        fit = _sweep(votes, gold, fit, settings)
        if np.max(np.abs(expit(fit.log_odds) - before), initial=0.0) < settings.tolerance:
            break
    return Fit(fit.skill, fit.bias, fit.prior, fit.independence, fit.evidence, fit.log_odds, None, sweeps)


def _sweep(votes: Votes, gold: Floats, fit: Fit, settings: AggregateSettings) -> Fit:
    p_a, weight = expit(fit.log_odds), votes.share * comparable(votes, gold)
    plain = response_table(votes, p_a, weight)
    anchored = response_table(votes, p_a, weight * ~np.isnan(gold[votes.item]))
    learned = ~unverified(votes, gold)
    wrong, right = plain.sum(axis=1)[:, learned]
    prior = fit_prior(right, wrong)
    table = plain + (settings.gold_weight - 1.0) * anchored
    skill, bias = maximise(table, prior, settings.position_scale, fit.skill, fit.bias)
    skill = np.where(learned, skill, fit.skill)
    return _expect(votes, gold, skill, bias, prior, fit.independence, settings)


def _expect(
    votes: Votes,
    gold: Floats,
    skill: Floats,
    bias: Floats,
    prior: BetaPrior,
    independence: Floats,
    settings: AggregateSettings,
) -> Fit:
    used = np.maximum(skill, 0.0) if settings.adversarial == "ignore" else skill
    evidence = vote_log_odds(votes.side, votes.shown, used[votes.rater], bias[votes.rater])
    evidence = evidence * votes.share * independence
    log_odds = item_log_odds(votes.item, evidence, gold)
    return Fit(skill, bias, prior, independence, evidence, log_odds, None, 0)


def _deflate(votes: Votes, fit: Fit, pairs: CoVotes, settings: AggregateSettings) -> tuple[CoAgreement, Floats]:
    skill, bias = fit.skill[votes.rater], fit.bias[votes.rater]
    predicted = predicted_agreement(pairs, fit.log_odds, fit.evidence, votes.item, votes.shown, skill, bias)
    found = co_agreement(pairs, votes.side, predicted, votes.n_raters)
    correlation = residual_correlation(found, settings.collusion_z)
    return found, design_effect_weights(pairs, votes.side, correlation, found)


def response_table(votes: Votes, p_a: Floats, weight: Floats) -> Floats:
    """Expected counts (2, 3, R): wrong or right, by what was chosen: the second shown, unknown, the first shown."""
    right = np.where(votes.side > 0, p_a[votes.item], 1.0 - p_a[votes.item])
    chosen = (votes.side * votes.shown).astype(np.int64) + 1
    cell = votes.rater * 3 + chosen
    mass = weight * np.abs(votes.side)
    tables = [tally(cell, mass * part, 3 * votes.n_raters) for part in (1.0 - right, right)]
    return np.stack([table.reshape(votes.n_raters, 3).T for table in tables])


def maximise(
    table: Floats, prior: BetaPrior, position_scale: float, skill: Floats, bias: Floats
) -> tuple[Floats, Floats]:
    """M-step for R raters at once: damped Newton on a two-parameter logistic regression.

    log L = sum table[t, c] log sigmoid(t skill + c bias) with t, c in {-1, 1} and {-1, 0, 1}, plus the Beta prior as
    pseudo-counts at no bias, plus -bias^2 / (2 position_scale^2).
    """
    counts = table.copy()
    counts[1, 1] += prior.right
    counts[0, 1] += prior.wrong
    precision = np.inf if position_scale == 0.0 else position_scale**-2.0
    for _ in range(NEWTON_STEPS):
        skill, bias = _newton(counts, precision, skill, bias)
    return skill, bias


def _newton(counts: Floats, precision: float, skill: Floats, bias: Floats) -> tuple[Floats, Floats]:
    g_s, g_b = np.zeros_like(skill), np.zeros_like(bias)
    h_ss, h_sb, h_bb = np.zeros_like(skill), np.zeros_like(skill), np.zeros_like(skill)
    for t in (-1, 1):
        for c in (-1, 0, 1):
            n = counts[(t + 1) // 2, c + 1]
            p = expit(t * skill + c * bias)
            slope, curve = n * (1.0 - p), n * p * (1.0 - p)
            g_s, g_b = g_s + t * slope, g_b + c * slope
            h_ss, h_sb, h_bb = h_ss + curve, h_sb + t * c * curve, h_bb + c * c * curve
    if np.isinf(precision):
        return np.clip(skill + np.clip(g_s / h_ss, -1, 1), -MAX_SKILL, MAX_SKILL), bias
    g_b, h_bb = g_b - precision * bias, h_bb + precision
    det = h_ss * h_bb - h_sb**2
    step_s, step_b = (h_bb * g_s - h_sb * g_b) / det, (h_ss * g_b - h_sb * g_s) / det
    new_skill = np.clip(skill + np.clip(step_s, -1, 1), -MAX_SKILL, MAX_SKILL)
    return new_skill, np.clip(bias + np.clip(step_b, -1, 1), -MAX_SKILL, MAX_SKILL)
