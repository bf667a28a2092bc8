"""Settings of the reward stage. Imports no torch."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backstay.learn.settings import NonNegative, Positive, Rate
from backstay.records import Settings


class RewardSettings(Settings):
    """Reward ensemble on weighted soft labels, and the cost (harm) model."""

    members: Annotated[int, Field(ge=1)] = 4
    """Ensemble size; each member has its own adapter, head and sample."""
    split: Literal["bootstrap", "raters"] = "bootstrap"
    """What members differ in: `bootstrap` gives each its own resampling of all pairs, `raters` the judgments of its own
    raters, no two members sharing one."""
    rankings: bool = False
    """Whether judgments of more than two responses teach as whole rankings (Plackett-Luce) instead of as pairs; false =
    pairs only."""
    margin: NonNegative = 0.0
    """Lead in raw score that a pair's better response must have, for a label that is sure; 0 = off."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of every pair's label that is replaced by one half; 0 = off."""
    length_debias: bool = False
    """Whether to take out of every score what it owes to the length of the response; false = off."""
    calibrate: bool = True
    """Whether to fit a temperature to held-out pairs and report calibration with it; scores stay as they are."""
    cost_members: Annotated[int, Field(ge=0)] = 0
    """Members of the cost (harm) model, whose zero lies between safe and harmful; 0 = no cost model. With one, pairs
    of dimension `harmless` teach it and not the reward."""
    layers: Annotated[int, Field(ge=0)] = 0
    """Layers above the branch that a member runs with its own adapter; 0 = head on the cached branch state only."""
    lora_rank: Positive = 8
    """Rank of the members' adapters."""
    epochs: Positive = 6
    """Passes over a member's sample."""
    batch_size: Positive = 32
    """Pairs, rankings or labels an optimizer step."""
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

    @model_validator(mode="after")
    def _folds(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds is 1, but one fold leaves nothing to train on; use 0 (off) or at least 2")
        return self
