"""Settings of the redteam stage. Imports no torch."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from backstay.records import Settings

Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class RedteamSettings(Settings):
    """The label-flipping attack: which shares of the simulated raters flip, and how often it is repeated."""

    flip_shares: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.0, 0.1, 0.2, 0.3, 0.4)
    """Shares of the simulated rater pool that flip every judgment, as fractions; (0,) = the clean baseline only."""
    seeds: Annotated[int, Field(ge=1)] = 3
    """Repetitions a share: which raters flip and what all of them answer is drawn again each time."""
    heldout_gap: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Least difference in gold score that makes two held-out responses a test pair; 0 = every pair that is no tie."""
    l2: Annotated[float, Field(gt=0.0)] = 100.0
    """Ridge penalty of the linear Bradley-Terry model, on standardised features and summed loss."""
    bootstrap: Annotated[int, Field(ge=100)] = 2000
    """Bootstrap resamples of the held-out prompts behind every interval."""
    level: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Coverage of every interval, as a fraction."""
    seed: int = 6
    """Seed from which the seeds of all repetitions are derived."""

    @model_validator(mode="after")
    def _shares_differ(self) -> Self:
        if len(set(self.flip_shares)) != len(self.flip_shares):
            raise ValueError(f"flip_shares {self.flip_shares} names a share twice; each share makes one pair of rows")
        return self
