"""How much is known of a pair: its weight, its dispute, and its share of ties."""

import numpy as np

from backstay.aggregate.fitted import Fitted
from backstay.aggregate.votes import Floats, Votes, tally


def pair_weight(votes: Votes, fitted: Fitted) -> Floats:
    """Information of I items relative to the median item with votes, capped; a gold item weighs at least 1.

    A vote's information is share x independence x (2 accuracy - 1)^2; a tie by a good rater informs as well.
    """
    edge = 2.0 * fitted.known.accuracy[fitted.columns.rater] - 1.0
    total = tally(votes.item, votes.share * fitted.fit.independence * edge**2, votes.n_items)
    voted = np.bincount(votes.item, minlength=votes.n_items) > 0
    ordinary = float(np.median(total[voted])) if voted.any() else 1.0
    weight = np.minimum(total / max(ordinary, 1e-9), fitted.settings.max_weight)
    return np.where(np.isnan(votes.gold), weight, np.maximum(weight, 1.0))


def voice(votes: Votes, fitted: Fitted) -> Floats:
    """Weight of N votes as opinions: what the rater adds over chance; negative below chance."""
    edge = 2.0 * fitted.known.accuracy[fitted.columns.rater] - 1.0
    weight: Floats = votes.share * fitted.fit.independence * edge
    return weight


def value_shares(votes: Votes, weight: Floats) -> Floats:
    """Weighted shares (I, 3) of votes for b, tie, a; by heads where the weights are all 0; 0 without votes."""
    cell = votes.item * 3 + votes.side.astype(np.int64) + 1
    size = 3 * votes.n_items
    weighted = tally(cell, weight, size).reshape(-1, 3)
    heads = tally(cell, votes.share, size).reshape(-1, 3)
    counts = np.where(weighted.sum(axis=1, keepdims=True) > 1e-9, weighted, heads)
    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    return shares


def tie_share(votes: Votes, voices: Floats) -> Floats:
    """Share of ties on each item, among votes weighted by how far their rater is from chance, either way."""
    ties: Floats = value_shares(votes, np.abs(voices))[:, 1]
    return ties


def dispute(votes: Votes, voices: Floats) -> Floats:
    """Twice the chance that two voices differ, at most 1: 0 for one voice or unanimity, 1 for an even split.

    Voices of raters below chance do not count, so that liars cannot mark good pairs as disputed.
    """
    shares = value_shares(votes, np.maximum(voices, 0.0))
    differ = np.where(shares.sum(axis=1) > 0.0, 1.0 - (shares**2).sum(axis=1), 0.0)
    return np.clip(2.0 * differ, 0.0, 1.0)
