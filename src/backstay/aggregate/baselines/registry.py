"""Every baseline by name."""

from backstay.aggregate.baselines.bradley_terry import bradley_terry
from backstay.aggregate.baselines.dawid_skene import dawid_skene
from backstay.aggregate.baselines.glad import glad
from backstay.aggregate.baselines.interface import Baseline
from backstay.aggregate.baselines.mace import mace
from backstay.aggregate.baselines.majority import majority
from backstay.aggregate.baselines.noisy_bradley_terry import noisy_bradley_terry
from backstay.aggregate.baselines.one_coin import one_coin

BASELINES: dict[str, Baseline] = {
    "majority": majority,
    "dawid-skene": dawid_skene,
    "one-coin": one_coin,
    "glad": glad,
    "mace": mace,
    "bradley-terry": bradley_terry,
    "noisy-bradley-terry": noisy_bradley_terry,
}
