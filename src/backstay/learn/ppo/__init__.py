"""Proximal policy optimisation with KL safeguards."""

from backstay.learn.ppo.trainer import PpoResult, PpoTrainer

__all__ = ["PpoResult", "PpoTrainer"]
