"""Settings of the aggregate stage."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backstay.records import Settings


class AggregateSettings(Settings):
    """How judgments become pairs and trust."""

    algorithm: Literal["reliability", "majority"] = "reliability"
    """`reliability` weighs raters by what is known of them; `majority` counts heads. Both are always computed."""

    max_iterations: Annotated[int, Field(ge=1)] = 30
    """Sweeps in each round; a round ends sooner when no posterior moves by more than `tolerance`."""

    tolerance: Annotated[float, Field(gt=0.0)] = 5e-3
    """Largest change of an item's posterior probability that counts as converged."""

    gold_weight: Annotated[float, Field(ge=1.0)] = 2.0
    """How many ordinary judgments one judgment on a gold item counts for a rater's accuracy; 1 = no extra."""

    gold_confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.98
    """Probability given to the answer of a gold item; below 1 because trusted people err too."""

    coupling: Annotated[float, Field(ge=0.0, le=1.0)] = 0.6
    """How much the other comparisons of a pair's responses count; 1 = as if preferences were transitive but for
    noise; 0 = each pair is judged by its own votes."""

    position_votes: Annotated[float, Field(ge=0.0)] = 8.0
    """Pseudo-votes that hold a rater's accuracies in the two orders shown together; 0 = no position bias is fitted."""

    adversarial: Literal["invert", "ignore"] = "invert"
    """A rater below one half is read backwards (`invert`) or not at all (`ignore`); never as a positive voice."""

    collusion: bool = True
    """Look for raters who act as one and count them as about one voice; false = all votes are independent."""

    bloc_rounds: Annotated[int, Field(ge=1)] = 3
    """How often blocs are looked for anew against the refitted model."""

    max_blocs: Annotated[int, Field(ge=1)] = 4
    """Blocs looked for at most."""

    max_co_votes: Annotated[int, Field(ge=1)] = 1_000_000
    """Pairs of votes that blocs are looked for in; where there are more, those of evenly drawn items."""

    bloc_membership: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.9
    """Probability of being in a bloc from which on a rater is named."""

    bloc_simulations: Annotated[int, Field(ge=0)] = 39
    """Crowds of independent raters drawn, where a bloc was found, to say how often they show as much; 0 = not said."""

    same_source: bool = True
    """Begin the search for blocs from shared rationales, clients and times too, and report these; false = off."""

    shift_level: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    """Share of false alarms tolerated among raters who are said to have changed; their earlier votes are judged apart.
    0 = no change is looked for."""

    topic_tag: str = "family"
    """Tag of a prompt that names its topic; prompts without it are in none."""

    audits: str = ""
    """Path of answers by trusted people to pairs that `backstay audit` proposed; empty = none."""

    topic_z: Annotated[float, Field(ge=0.0)] = 1.5
    """Robust deviations of contradicted votes above the median topic from which on a topic is worth an audit."""

    content_z: Annotated[float, Field(ge=0.0)] = 3.5
    """Robust deviations by which answers on a topic follow their content less than on the median topic, as judged by a
    model of the other topics, from which on the topic is worth an audit."""

    content_items: Annotated[int, Field(ge=0)] = 20_000
    """Pairs whose content is read for that at most, drawn evenly from the topics; 0 = content is not read."""

    max_topics: Annotated[int, Field(ge=0)] = 3
    """Suspected topics looked at; 0 = no topic is suspected and no audit proposed."""

    audit_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.015
    """Share of all pairs that is proposed for an audit when a topic is suspected."""

    cohort_field: str = ""
    """Field of a rater's cohort, such as `language`, by which honest disagreement is looked for; empty = off."""

    cohort_rule: Literal["pooled", "per_cohort", "min_over_cohorts"] = "pooled"
    """One answer from cohorts: all raters together, the mean over cohorts, or what holds for every cohort."""

    cohort_population: dict[str, float] = Field(default_factory=dict)
    """Share of each cohort in the population, for `per_cohort`; empty = every cohort counts the same."""

    cohort_permutations: Annotated[int, Field(ge=19)] = 999
    """Random relabellings of raters that differences between cohorts are tested against."""

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
