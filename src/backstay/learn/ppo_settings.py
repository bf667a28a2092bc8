"""Settings of policy optimisation. Imports no torch."""

from typing import Self

from pydantic import model_validator

from backstay.learn.settings import Fraction, NonNegative, Positive, Rate
from backstay.records import Settings


class PpoSettings(Settings):
    """PPO with KL safeguards."""

    updates: Positive = 20
    """Rollout-and-learn rounds."""
    episodes: Positive = 48
    """Responses a round."""
    max_new_tokens: Positive = 24
    """Length limit of a response in tokens."""
    temperature: Rate = 0.7
    """Divisor of the logits in rollout, reference and training alike."""
    epochs: Positive = 2
    """Passes over a round's rollouts."""
    minibatches: Positive = 2
    """Optimizer steps a pass."""
    micro_batch: Positive = 12
    """Responses in memory at once; changes memory, never the numbers beyond rounding."""
    learning_rate: Rate = 1e-3
    """Learning rate of the policy."""
    value_learning_rate: Rate = 1e-3
    """Learning rate of the value model."""
    gamma: Fraction = 1.0
    """Discount a token."""
    lam: Fraction = 0.95
    """Lambda of GAE."""
    clip: Rate = 0.2
    """Clip range of the probability ratio."""
    value_clip: NonNegative = 0.2
    """Clip range of the value update; 0 = off."""
    value_coefficient: Rate = 1.0
    """Weight of the value loss; value parameters are separate from the policy's."""
    kl_coefficient: NonNegative = 0.05
    """Initial weight of the k1 KL penalty a token; 0 = off."""
    kl_target: NonNegative = 6.0
    """Nats a response that the adaptive coefficient aims at; 0 = fixed coefficient."""
    kl_horizon: Rate = 300.0
    """Episodes over which the adaptive coefficient reacts."""
    kl_stop: NonNegative = 0.15
    """Approximate KL (nats a token, new to old policy) that ends an update's remaining minibatches; 0 = off."""
    kl_budget: NonNegative = 8.0
    """Nats a response; above it the run rolls back to the last good checkpoint and ends; 0 = off."""
    no_eos_penalty: NonNegative = 1.0
    """Subtracted from the score of a response that did not end; 0 = off."""
    uncertainty_penalty: NonNegative = 0.5
    """c in mean - c * std over the ensemble; 0 = plain mean."""
    reward_clip: NonNegative = 5.0
    """Bound on the absolute normalised score; 0 = off."""
    max_grad_norm: NonNegative = 1.0
    """Gradient norm limit; 0 = off."""
    checkpoint_every: Positive = 1
    """Updates between checkpoints."""
    seed: int = 4
    """Seed of prompts' order, sampling, initialisation and minibatches."""

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        if self.episodes % self.minibatches:
            raise ValueError(f"episodes ({self.episodes}) must be a multiple of minibatches ({self.minibatches})")
        if self.kl_budget and self.kl_target > self.kl_budget:
            raise ValueError(f"kl_target ({self.kl_target}) lies above kl_budget ({self.kl_budget})")
        return self
