"""Proximal policy optimisation with KL safeguards."""

from backstay.learn.rl.trainer import PpoResult, PpoTrainer

__all__ = ["PpoResult", "PpoTrainer"]
