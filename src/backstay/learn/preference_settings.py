"""Settings of offline preference optimisation. Imports no torch."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backstay.learn.settings import NonNegative, Positive, Rate
from backstay.records import Settings


class DpoSettings(Settings):
    """Offline preference optimisation of the policy on weighted soft labels, without a reward model."""

    loss: Literal["dpo", "ipo", "cdpo", "robust", "kto"] = "dpo"
    """`dpo`, `ipo` (squared error on mean log-ratios a token), `cdpo` (labels smoothed by a flip rate), `robust`
    (unbiased under a flip rate), `kto` (each response by itself, desirable or not)."""
    beta: Rate = 0.1
    """How strongly the policy is held to the reference; larger stays closer. For `ipo` the paper's tau."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Assumed share of flipped labels, which `cdpo` and `robust` need; 0 = off, and the other losses take no other."""
    margin: NonNegative = 0.0
    """Implicit reward by which the preferred response must lead, for `dpo`, `cdpo` and `robust`; 0 = off."""
    desirable_weight: Rate = 1.0
    """Weight of desirable responses, for `kto`."""
    undesirable_weight: Rate = 1.0
    """Weight of undesirable responses, for `kto`."""
    epochs: Positive = 1
    """Passes over the pairs."""
    batch_size: Positive = 8
    """Pairs an optimizer step."""
    micro_batch: Positive = 8
    """Pairs in memory at once; changes memory, never the numbers beyond rounding."""
    learning_rate: Rate = 1e-3
    """Peak learning rate of AdamW, linear decay to zero."""
    max_grad_norm: NonNegative = 1.0
    """Gradient norm limit; 0 = off."""
    max_response_tokens: Positive = 64
    """Longer responses are cut here; the number of cuts is reported."""
    kl_every: Annotated[int, Field(ge=0)] = 10
    """Optimizer steps between measurements of KL to the reference, and once at the end; 0 = off."""
    kl_samples: Positive = 32
    """Responses sampled from the policy for each measurement."""
    kl_budget: NonNegative = 8.0
    """Nats a response; above it the run rolls back to the last policy measured within it and ends; 0 = off."""
    max_new_tokens: Positive = 24
    """Length limit in tokens of the responses that KL is measured on."""
    temperature: Rate = 0.7
    """Divisor of the logits where KL is measured; training itself is at temperature 1."""
    checkpoint_every: Positive = 10
    """Optimizer steps between checkpoints."""
    seed: int = 6
    """Seed of initialisation, order, the pairing of `kto`, and the samples that KL is measured on."""

    @model_validator(mode="after")
    def _settings_fit_the_loss(self) -> Self:
        flips = self.loss in ("cdpo", "robust")
        if flips and self.label_smoothing == 0:
            raise ValueError(f"loss {self.loss} needs label_smoothing, the share of flipped labels, such as 0.1")
        if not flips and self.label_smoothing:
            raise ValueError(f"label_smoothing ({self.label_smoothing}) is for cdpo and robust; loss is {self.loss}")
        if self.margin and self.loss in ("ipo", "kto"):
            raise ValueError(f"margin ({self.margin}) is for dpo, cdpo and robust; loss is {self.loss}")
        if self.kl_budget and not self.kl_every:
            raise ValueError(f"kl_budget ({self.kl_budget}) needs kl_every above 0, or set kl_budget to 0")
        return self
