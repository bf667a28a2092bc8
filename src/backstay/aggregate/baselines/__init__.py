"""Published methods to compare with, all behind one interface."""

from backstay.aggregate.baselines.interface import Baseline, BaselineFit
from backstay.aggregate.baselines.registry import BASELINES

__all__ = ["BASELINES", "Baseline", "BaselineFit"]
