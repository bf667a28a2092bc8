"""Judgments by unreliable raters in; pairs with probabilities, and trust in raters, out."""

from backstay.aggregate.aggregation import Aggregation, aggregate
from backstay.aggregate.agreement import Interval, alpha_interval, krippendorff_alpha, pairwise_agreement, value_counts
from backstay.aggregate.majority import majority_share
from backstay.aggregate.reliability import Fit, fit_reliability
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.votes import Item, Votes, collect_votes

__all__ = [
    "AggregateSettings",
    "Aggregation",
    "Fit",
    "Interval",
    "Item",
    "Votes",
    "aggregate",
    "alpha_interval",
    "collect_votes",
    "fit_reliability",
    "krippendorff_alpha",
    "majority_share",
    "pairwise_agreement",
    "value_counts",
]
