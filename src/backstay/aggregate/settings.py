"""Settings of the aggregate stage."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backstay.records import Settings


class AggregateSettings(Settings):
    """How judgments become pairs and trust."""

    algorithm: Literal["reliability", "majority"] = "reliability"
    """`reliability` weighs raters by what is known of them; `majority` counts heads. Both are always computed."""

    max_iterations: Annotated[int, Field(ge=1)] = 40
    """EM sweeps in each round; a round ends sooner when no posterior moves by more than `tolerance`."""

    tolerance: Annotated[float, Field(gt=0.0)] = 1e-3
    """Largest change of an item's posterior probability that counts as converged."""

    gold_weight: Annotated[float, Field(ge=1.0)] = 5.0
    """How many ordinary judgments one judgment on a gold item counts for a rater's accuracy; 1 = no extra."""

    gold_confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.98
    """Probability given to the answer of a gold item; below 1 because trusted people err too."""

    position_scale: Annotated[float, Field(ge=0.0)] = 0.7
    """Prior standard deviation of a rater's position bias, in log-odds; 0 = no position bias is fitted."""

    adversarial: Literal["invert", "ignore"] = "invert"
    """A rater below one half is read backwards (`invert`) or not at all (`ignore`); never as a positive voice."""

    collusion: bool = True
    """Down-weight raters who agree beyond what their accuracies explain; false = all votes are independent."""

    collusion_z: Annotated[float, Field(ge=0.0)] = 1.0
    """Standard errors of excess agreement that are forgiven before a pair of raters is down-weighted."""

    collusion_flag_z: Annotated[float, Field(ge=0.0)] = 4.0
    """Standard errors of excess agreement above which two raters are named as agreeing beyond chance."""

    collusion_rounds: Annotated[int, Field(ge=1)] = 3
    """How often co-agreement is measured anew against the refitted model."""

    single_rater_accuracy: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.75
    """Accuracy assumed of a rater whom nothing can be compared with: no gold item and no second voice."""

    max_log_odds: Annotated[float, Field(gt=0.0)] = 3.9
    """Bound of a pair's log-odds after calibration; 3.9 keeps `p_a` within 0.02 and 0.98."""

    max_weight: Annotated[float, Field(gt=0.0)] = 2.0
    """Cap of a pair's weight, in units of an ordinary pair's evidence."""

    folds: Annotated[int, Field(ge=0)] = 5
    """Folds of gold items that are held out in turn to measure accuracy and to calibrate; 0 = neither is done."""

    min_calibration_items: Annotated[int, Field(ge=1)] = 30
    """Held-out gold items below which the temperature stays at 1."""

    seed: int = 0
    """Seed of the folds and of the bootstrap."""

    @model_validator(mode="after")
    def _folds(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds is 1, but one fold leaves nothing to fit on; use 0 (off) or at least 2")
        return self
