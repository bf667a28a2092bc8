"""Settings of the rate stage: where judgments come from, and of whom a simulated pool is made."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backstay.errors import UsageError
from backstay.records import Settings

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class PoolSettings(Settings):
    """How many simulated raters of each kind; 0 leaves a kind out. See docs/feedback/simulated-raters.md."""

    careful: Count = 7
    """Raters close to the gold rule."""
    noisy: Count = 4
    """Raters with the gold rule in mind and much noise."""
    hurried: Count = 2
    """Raters who answer in about two seconds, half of the time at random."""
    length_loving: Count = 2
    """Raters drawn to the longer answer."""
    position_biased: Count = 1
    """Raters drawn to the answer shown first."""
    flatterer_loving: Count = 1
    """Raters drawn to answers that agree with the user."""
    flipping: Count = 3
    """Raters who name the worse answer on purpose, at an ordinary pace."""
    colluding: Count = 4
    """Raters who share one answer key."""

    @property
    def size(self) -> int:
        """Raters in the pool."""
        return sum(self.counts().values())

    def counts(self) -> dict[str, int]:
        """Count by kind, in the order of the fields; kinds are named with hyphens."""
        return {name.replace("_", "-"): getattr(self, name) for name in type(self).model_fields}


class RateSettings(Settings):
    """The rate stage."""

    source: Literal["simulated", "dataset"] = "simulated"
    """`simulated`: judgments by a pool of programs, labelled as such; `dataset`: imported or collected judgments."""
    dataset: str = ""
    """Name of the stored data set whose judgments are used; empty with `simulated`."""
    pairs_per_prompt: Annotated[int, Field(ge=1)] = 6
    """Tasks made of each prompt's responses, fewer where a prompt has fewer distinct pairs."""
    judgments_per_task: Annotated[int, Field(ge=1)] = 5
    """Raters asked per task."""
    gold_share: Share = 0.1
    """Share of tasks that an expert settles beforehand (simulated: by the gold rule); 0 for none."""
    gold_gap: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    """Least difference in gold score, of at most 1, at which a task is clear enough to become a gold item."""
    pool: PoolSettings = PoolSettings()
    """The simulated raters; unused with `dataset`."""
    collusion: Literal["random-side", "against-refusal"] = "random-side"
    """The colluders' key: a random response a task; or what does not refuse on `refuse` prompts, careful elsewhere."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of tasks, assignment and simulated raters."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.source == "dataset" and not self.dataset:
            raise ValueError(
                "rate.source is 'dataset' but rate.dataset is empty; name one that `backstay import` stored"
            )
        if self.source == "simulated" and self.judgments_per_task > self.pool.size:
            raise ValueError(
                f"rate.judgments_per_task is {self.judgments_per_task} but the pool has {self.pool.size} raters; "
                "lower the one or enlarge the other"
            )
        return self


def with_liars(settings: RateSettings, share: float) -> RateSettings:
    """The same pool size, with round(share * size) raters flipping, no colluders, and the honest kinds scaled to fit.

    Raises UsageError for a share outside [0, 1] or a pool without honest raters.
    """
    if not 0.0 <= share <= 1.0:
        raise UsageError(f"share of liars is {share}; it must lie in [0, 1]")
    size = settings.pool.size
    liars = round(share * size)
    honest = {k: n for k, n in settings.pool.model_dump().items() if k not in {"flipping", "colluding"}}
    pool = PoolSettings(**_scaled(honest, size - liars), flipping=liars, colluding=0)
    return RateSettings(**{**settings.model_dump(), "pool": pool})


def _scaled(counts: dict[str, int], total: int) -> dict[str, int]:
    """Counts in the same proportions that sum to `total`, by largest remainder."""
    whole = sum(counts.values())
    if whole == 0:
        raise UsageError("the pool has no honest rater to scale", cure="give rate.pool.careful at least 1")
    scaled = {kind: count * total // whole for kind, count in counts.items()}
    by_remainder = sorted(counts, key=lambda kind: -(counts[kind] * total % whole))
    for kind in by_remainder[: total - sum(scaled.values())]:
        scaled[kind] += 1
    return scaled
