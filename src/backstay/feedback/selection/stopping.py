"""When an item has votes enough: posterior certainty that does not hang on one rater or one cohort.

Each voice (a cohort, or a rater who is in none) is capped, so that a wanted certainty takes at least `independent`
voices for it; what stands against it is never capped. docs/feedback/assignment.md.
"""

import math
from dataclasses import dataclass

import numpy as np

from backstay.errors import UsageError
from backstay.feedback.selection.belief import Belief, Bools, Floats, Ints, summed, with_votes

RIVALS = 2
"""Truths besides the leading one."""


@dataclass(frozen=True)
class StoppingRule:
    """An item is done with `certainty` from at least `least` votes of `independent` voices, or with `most` votes."""

    certainty: float = 0.95
    least: int = 2
    most: int = 7
    independent: int = 2

    def __post_init__(self) -> None:
        """Refuse a rule that contradicts itself."""
        if not 0.5 < self.certainty < 1.0:
            raise UsageError(f"certainty is {self.certainty}; it must lie between 0.5 and 1")
        if not 1 <= self.independent <= self.most or not 1 <= self.least <= self.most:
            raise UsageError(
                f"least is {self.least} and independent {self.independent}, but at most {self.most} votes are asked",
                cure="keep 1 <= least <= most and 1 <= independent <= most",
            )

    @property
    def cap(self) -> float:
        """Log-odds that one voice counts at most: `independent` such voices make the wanted certainty."""
        return math.log(self.certainty / (1.0 - self.certainty)) / self.independent


@dataclass(frozen=True)
class Ballots:
    """N votes: `item`, `voice` (number of a cohort, or of a rater of none), `evidence` (N, 3) of `vote_evidence`."""

    item: Ints
    voice: Ints
    evidence: Floats


@dataclass(frozen=True)
class Support:
    """Of I items: `leading` truth, its `certainty` with voices and prior capped, `voices` for it, `votes`."""

    leading: Ints
    certainty: Floats
    voices: Ints
    votes: Ints


def support(prior: Belief, ballots: Ballots, rule: StoppingRule) -> Support:
    """How sure the leading truth of each item is when no voice counts for more than `rule.cap` against a rival."""
    size = prior.log_weight.shape[0]
    voice_item, spoken = by_voice(ballots)
    leading = with_votes(prior, voice_item, spoken).log_weight.argmax(axis=1)
    ahead = _ahead(spoken, leading[voice_item])
    kept = summed(voice_item, np.minimum(ahead, rule.cap), size)
    kept += np.minimum(_ahead(prior.log_weight, leading), rule.cap)
    possible = ~np.isneginf(prior.log_weight)
    certainty = 1.0 / np.sum(np.exp(-kept, where=possible, out=np.zeros_like(kept)), axis=1)
    for_it = np.sum(ahead > 0.0, axis=1) == RIVALS
    voices = np.bincount(voice_item[for_it], minlength=size)
    return Support(leading, certainty, voices, np.bincount(ballots.item, minlength=size))


def by_voice(ballots: Ballots) -> tuple[Ints, Floats]:
    """The item (V) and summed evidence (V, 3) of each voice that spoke on an item."""
    width = int(ballots.voice.max(initial=0)) + 1
    keys, place = np.unique(ballots.item * width + ballots.voice, return_inverse=True)
    return keys // width, summed(place, ballots.evidence, keys.size)


def _ahead(log_weight: Floats, leading: Ints) -> Floats:
    """Log-odds (N, 3) of the leading truth against each; 0 against itself, infinite against what cannot be."""
    possible = ~np.isneginf(log_weight)
    own = np.take_along_axis(log_weight, leading[:, None], axis=1)
    return np.where(possible, own - np.where(possible, log_weight, 0.0), np.inf)


def is_certain(found: Support, rule: StoppingRule) -> Bools:
    """Items (I) with the wanted certainty from votes and voices enough."""
    sure = found.certainty >= rule.certainty
    return sure & (found.votes >= rule.least) & (found.voices >= rule.independent)


def is_done(found: Support, rule: StoppingRule) -> Bools:
    """Items (I) that need no further vote: certain, or at the most votes."""
    return is_certain(found, rule) | (found.votes >= rule.most)
