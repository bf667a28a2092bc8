"""Evaluation: policies before and after, calibration, bootstrap intervals."""

from backstay.evaluate.bootstrap import Interval, crossed_interval, difference_interval, mean_interval
from backstay.evaluate.calibration import (
    ReliabilityBin,
    brier_score,
    expected_calibration_error,
    fold_preferences,
    reliability_table,
    table_rows,
    wilson_interval,
)
from backstay.evaluate.policies import (
    NO_GOLD_NOTE,
    ScoredResponse,
    compare_policies,
    prompt_family,
    prompt_text,
    side_by_side,
    win_rate,
)
from backstay.evaluate.settings import EvaluateSettings

__all__ = [
    "NO_GOLD_NOTE",
    "EvaluateSettings",
    "Interval",
    "ReliabilityBin",
    "ScoredResponse",
    "brier_score",
    "compare_policies",
    "crossed_interval",
    "difference_interval",
    "expected_calibration_error",
    "fold_preferences",
    "mean_interval",
    "prompt_family",
    "prompt_text",
    "reliability_table",
    "side_by_side",
    "table_rows",
    "wilson_interval",
    "win_rate",
]
