"""Settings of the evaluate stage. Imports no torch."""

from typing import Annotated, Literal

from pydantic import Field

from backstay.records import Settings


class EvaluateSettings(Settings):
    """How the policy before and after training is compared on held-out prompts."""

    policy: Literal["ppo", "dpo"] = "ppo"
    """Which stage's policy counts as after: `ppo` (rewards from the ensemble) or `dpo` (offline, from the pairs alone).
    The loop runs the one that is named."""
    responses: Annotated[int, Field(ge=1)] = 2
    """Responses a held-out prompt and policy."""
    max_new_tokens: Annotated[int, Field(gt=0)] = 24
    """Length limit of a response in tokens; the same as in training, or lengths do not compare."""
    temperature: Annotated[float, Field(gt=0.0)] = 0.7
    """Divisor of the logits, the same for both policies."""
    batch_size: Annotated[int, Field(gt=0)] = 96
    """Responses decoded at once; changes memory, never the numbers beyond rounding."""
    bootstrap: Annotated[int, Field(ge=100)] = 2000
    """Bootstrap resamples of the prompts behind every interval."""
    level: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Coverage of every interval, as a fraction."""
    samples: Annotated[int, Field(ge=0)] = 48
    """Held-out prompts whose answers before and after go into evaluation.json and the report; 0 = none."""
    seed: int = 5
    """Seed of the sampler and of the bootstrap."""
