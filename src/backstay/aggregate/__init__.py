"""Judgments by unreliable raters in; pairs with probabilities, and trust in raters, out."""

from backstay.aggregate.aggregation import Aggregation, aggregate
from backstay.aggregate.agreement import Interval, alpha_interval, krippendorff_alpha, pairwise_agreement, value_counts
from backstay.aggregate.columns import VoteColumns, columns_of
from backstay.aggregate.majority import majority_share
from backstay.aggregate.reliability import Fit, fit_columns, fit_reliability
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.votes import Item, Votes, collect_votes

__all__ = [
    "AggregateSettings",
    "Aggregation",
    "Fit",
    "Interval",
    "Item",
    "VoteColumns",
    "Votes",
    "aggregate",
    "alpha_interval",
    "collect_votes",
    "columns_of",
    "fit_columns",
    "fit_reliability",
    "krippendorff_alpha",
    "majority_share",
    "pairwise_agreement",
    "value_counts",
]
