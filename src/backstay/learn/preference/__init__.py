"""Offline preference optimisation: DPO, IPO, cDPO, robust DPO and KTO on weighted soft labels."""

from backstay.learn.preference.cost import dpo_cost
from backstay.learn.preference.losses import (
    cdpo_loss,
    dpo_loss,
    ipo_loss,
    kto_loss,
    kto_reference_point,
    robust_dpo_loss,
    smoothed_label,
    unbiased_label,
)
from backstay.learn.preference.objective import PairBatch
from backstay.learn.preference.trainer import PreferenceResult, PreferenceTrainer

__all__ = [
    "PairBatch",
    "PreferenceResult",
    "PreferenceTrainer",
    "cdpo_loss",
    "dpo_cost",
    "dpo_loss",
    "ipo_loss",
    "kto_loss",
    "kto_reference_point",
    "robust_dpo_loss",
    "smoothed_label",
    "unbiased_label",
]
