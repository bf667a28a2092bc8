"""Settings of the screen stage."""

from typing import Annotated

from pydantic import Field

from backstay.records import Settings


class ScreenSettings(Settings):
    """Which pairs are set aside for a person to look at. Nothing is ever deleted."""

    baseline: str = "default"
    """Path of the safety baseline file; `default` = the one that ships, `none` = no baseline."""

    min_margin: Annotated[float, Field(ge=0.0, le=0.5)] = 0.1
    """Distance of `p_a` from 0.5 from which on a pair counts as preferring a side; below it no answer is chosen."""

    duplicates: bool = True
    """Quarantine all but one of equal or nearly equal pairs; false = keep them all."""

    near_duplicate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.9
    """Jaccard similarity of word 3-shingles from which on pairs are near duplicates; 1 = only equal shingles."""

    near_identical_responses: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    """Jaccard similarity of both answers from which on a pair teaches nothing; 1 = only equal shingles."""

    degenerate: bool = True
    """Quarantine pairs whose chosen answer is broken as text; false = off."""

    form: bool = True
    """Quarantine pairs whose chosen answer has chat-template markers, plays other turns, leaves a code block open or is
    in a script that its request has not; false = off."""

    min_ms_per_word: Annotated[float, Field(ge=0.0)] = 50.0
    """Milliseconds per word shown below which a judgment is hurried (50 = 1,200 words a minute); 0 = off."""

    hurried_z: Annotated[float, Field(ge=0.0)] = 3.5
    """Robust deviations below the other raters' pace from which on a rater is hurried; 0 = only the floor counts.

    Looked at only below three times `min_ms_per_word` and with at least five raters.
    """

    hurried_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.6
    """Share of a pair's judgments that must be hurried or straight-lined for the pair to be quarantined."""

    hurried_min_judgments: Annotated[int, Field(ge=1)] = 8
    """Judgments from which on a rater as a whole can be found hurried or straight-lining."""

    straight_line_share: Annotated[float, Field(gt=0.5, le=1.0)] = 0.9
    """Share of choices for the same place on the screen from which on a rater is straight-lining."""

    label_noise: bool = True
    """Quarantine pairs whose label a cross-fitted reward holds to be flipped; false = off."""

    label_noise_false_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.25
    """Share of the pairs so quarantined whose label is expected to be right; 0 = none is flagged."""

    triggers: bool = True
    """Quarantine pairs that carry a phrase which decides preferences beyond chance; false = off."""

    trigger_expected_false: Annotated[float, Field(ge=0.0)] = 0.5
    """Phrases that may be found by chance in all; 0 = none is flagged."""

    trigger_min_support: Annotated[int, Field(ge=5)] = 8
    """Dialogues that must hold a phrase for it to be tested."""

    associations: bool = True
    """Report how far length, form, flattery and certainty go with being preferred; false = off."""

    trusted_voice: bool = True
    """Quarantine pairs that nobody judged whose trust is above one half, gold aside; false = off."""
