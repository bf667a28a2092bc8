"""Settings of the reward stage. Imports no torch."""

from typing import Annotated

from pydantic import Field

from backstay.learn.settings import NonNegative, Positive, Rate
from backstay.records import Settings


class RewardSettings(Settings):
    """Bradley-Terry reward ensemble on weighted soft labels."""

    members: Annotated[int, Field(ge=1)] = 4
    """Ensemble size; each member has its own adapter, head and bootstrap sample."""
    layers: Annotated[int, Field(ge=0)] = 0
    """Layers above the branch that a member runs with its own adapter; 0 = head on the cached branch state only."""
    lora_rank: Positive = 8
    """Rank of the members' adapters."""
    epochs: Positive = 6
    """Passes over the bootstrap sample."""
    batch_size: Positive = 32
    """Pairs an optimizer step."""
    learning_rate: Rate = 3e-3
    """Peak learning rate of AdamW, linear decay to zero."""
    weight_decay: NonNegative = 0.1
    """Decoupled weight decay of adapter and head; 0 = off."""
    max_grad_norm: NonNegative = 1.0
    """Gradient norm limit; 0 = off."""
    max_response_tokens: Positive = 64
    """Longer responses are scored on their first tokens; the number of cuts is reported."""
    heldout_share: Annotated[float, Field(gt=0.0, lt=0.9)] = 0.2
    """Share of prompts whose pairs are kept out of training for accuracy and calibration."""
    folds: Annotated[int, Field(ge=0)] = 0
    """Cross-validation folds for the reported accuracy, over prompts; 0 = held-out share only."""
    checkpoint_every: Positive = 20
    """Optimizer steps between checkpoints."""
    seed: int = 3
    """Seed of bootstraps, initialisation and order."""
