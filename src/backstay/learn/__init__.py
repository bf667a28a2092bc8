"""Training: models and adapters, decoding, sft, reward, ppo. Importing the package imports no torch."""

from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.preference_settings import DpoSettings
from backstay.learn.reward_settings import RewardSettings
from backstay.learn.settings import ModelSettings, SampleSettings, SftSettings

__all__ = ["DpoSettings", "ModelSettings", "PpoSettings", "RewardSettings", "SampleSettings", "SftSettings"]
