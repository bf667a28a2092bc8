"""How hard items are, and which raters were given hard ones: errors over those that raters usually make.

Difficulty is told and not modelled: beside accuracies that leave the item out, it did not make answers better (GLAD,
Whitehill et al. 2009, against one coin; docs/design/004).
"""

import numpy as np

from backstay.aggregate.compared import compared
from backstay.aggregate.fitted import Fitted
from backstay.aggregate.votes import Floats, tally

ORDINARY = 1.0
"""Errors, usual and actual, that every item is begun with: an item without votes is ordinary."""


def errors(fitted: Fitted) -> tuple[Floats, Floats]:
    """Of N votes: the chance that it is wrong, judged by the other votes, and that by its rater's accuracy.

    Both are 0 for votes that can be compared with nothing. The usual chance mixes in, as the actual one does, how sure
    the others are: with certainty q and accuracy a it is q (1 - p) + (1 - q) p, where p = a q + (1 - a)(1 - q) is the
    chance of agreeing with them.
    """
    usable, certainty, agrees, expected = compared(fitted.columns, fitted.fit, fitted.known)
    wrong = np.where(agrees, 1.0 - certainty, certainty)
    usual = certainty * (1.0 - expected) + (1.0 - certainty) * expected
    return np.where(usable, wrong, 0.0), np.where(usable, usual, 0.0)


def item_difficulty(fitted: Fitted) -> Floats:
    """Difficulty (I): errors over usual errors, shrunk to 1; 2 = twice as many errors as its raters usually make."""
    columns = fitted.columns
    actual, usual = errors(fitted)
    wrong, expected = (tally(columns.item, columns.share * x, columns.n_items) for x in (actual, usual))
    ratio: Floats = (wrong + ORDINARY) / (expected + ORDINARY)
    return ratio


def given_difficulty(fitted: Fitted) -> tuple[Floats, Floats]:
    """Of R raters: errors of the others over their usual errors on the rater's items, and its deviations above 1.

    The deviation takes errors on items as independent, with the variance of their excess.
    """
    columns, owner = fitted.columns, fitted.fit.voices.owner.astype(np.int64)
    actual, usual = errors(fitted)
    wrong, expected = (tally(columns.item, x, columns.n_items)[columns.item] - x for x in (actual, usual))
    rater, raters = owner[columns.rater], fitted.fit.voices.n_raters
    all_wrong, all_expected = tally(rater, wrong, raters), tally(rater, expected, raters)
    noise = np.sqrt(tally(rater, (wrong - expected) ** 2, raters))
    return (
        (all_wrong + ORDINARY) / (all_expected + ORDINARY),
        (all_wrong - all_expected) / np.maximum(noise, ORDINARY),
    )
