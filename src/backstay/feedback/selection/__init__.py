"""Who is asked what next: beliefs, information gain, stopping, gold, repeats, order shown, and the cost to be sure."""

from backstay.feedback.selection.belief import (
    BOTH_BAD,
    EQUAL,
    FIRST,
    SECOND,
    TIE,
    Belief,
    Ties,
    Trust,
    prior_belief,
    reward_log_odds,
    uncertainty,
    vote_evidence,
    with_votes,
    without_votes,
)
from backstay.feedback.selection.certainty_cost import CertaintyCost, Forecast, Team, certainty_cost
from backstay.feedback.selection.choose import (
    Candidates,
    Choice,
    ChoiceRule,
    GoldPool,
    OwnPast,
    Purpose,
    choose,
    vote_probabilities,
)
from backstay.feedback.selection.gold import LeakTest, has_leaked, leak_test
from backstay.feedback.selection.information import Gain, ensemble_gain, information_gain
from backstay.feedback.selection.keyed import keyed_rng
from backstay.feedback.selection.ordering import order_shown, position_bias
from backstay.feedback.selection.repeats import Share, self_consistency
from backstay.feedback.selection.stopping import Ballots, StoppingRule, Support, is_certain, is_done, support

__all__ = [
    "BOTH_BAD",
    "EQUAL",
    "FIRST",
    "SECOND",
    "TIE",
    "Ballots",
    "Belief",
    "Candidates",
    "CertaintyCost",
    "Choice",
    "ChoiceRule",
    "Forecast",
    "Gain",
    "GoldPool",
    "LeakTest",
    "OwnPast",
    "Purpose",
    "Share",
    "StoppingRule",
    "Support",
    "Team",
    "Ties",
    "Trust",
    "certainty_cost",
    "choose",
    "ensemble_gain",
    "has_leaked",
    "information_gain",
    "is_certain",
    "is_done",
    "keyed_rng",
    "leak_test",
    "order_shown",
    "position_bias",
    "prior_belief",
    "reward_log_odds",
    "self_consistency",
    "support",
    "uncertainty",
    "vote_evidence",
    "vote_probabilities",
    "with_votes",
    "without_votes",
]
