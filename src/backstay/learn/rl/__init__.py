"""On-policy training against a reward, with safeguards."""

from backstay.learn.rl.trainer import PolicyResult, PolicyTrainer

__all__ = ["PolicyResult", "PolicyTrainer"]
