"""Attacks on the pipeline, and what its defences leave of them."""

from backstay.redteam.features import interaction_features
from backstay.redteam.label_flip import label_flip_matrix
from backstay.redteam.linear_reward import Fit, fit_linear_bt
from backstay.redteam.settings import RedteamSettings

__all__ = ["Fit", "RedteamSettings", "fit_linear_bt", "interaction_features", "label_flip_matrix"]
