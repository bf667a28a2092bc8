"""Screening: which pairs are set aside for a person to look at before anything learns from them."""

from backstay.screen.baseline import Baseline, BaselineFile, describe, load_baseline, parse_baseline
from backstay.screen.quarantine import ReviewLike, Screening, decide, screen
from backstay.screen.settings import ScreenSettings

__all__ = [
    "Baseline",
    "BaselineFile",
    "ReviewLike",
    "ScreenSettings",
    "Screening",
    "decide",
    "describe",
    "load_baseline",
    "parse_baseline",
    "screen",
]
