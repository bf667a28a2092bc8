"""Screening: which pairs are set aside for a person to look at before anything learns from them."""

from backstay.screen.baseline import Baseline, BaselineFile, describe, load_baseline, parse_baseline
from backstay.screen.quarantine import ReviewLike, Screening, decide, screen
from backstay.screen.settings import ScreenSettings
from backstay.screen.witness import text_witness

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
    "text_witness",
]
