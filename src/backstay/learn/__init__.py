"""Training: models and adapters, decoding, sft, reward, ppo. Importing the package imports no torch."""

from backstay.learn.settings import ModelSettings, PpoSettings, RewardSettings, SampleSettings, SftSettings

__all__ = ["ModelSettings", "PpoSettings", "RewardSettings", "SampleSettings", "SftSettings"]
