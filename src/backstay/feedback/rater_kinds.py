"""What each kind of simulated rater sees in a pair, as pure functions of the pair and a random generator.

Every kind returns a perceived margin: positive when it prefers response 0 of the task, in units of gold score.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from backstay.feedback.gold import GoldScore
from backstay.feedback.lexicon import words
from backstay.records import sha256_hex

Collusion = Literal["random-side", "against-refusal"]

CAREFUL_NOISE = 0.08
NOISY_NOISE = 0.6
HURRIED_RANDOM_SHARE = 0.5
POSITION_PULL = 0.5
FLATTERY_PULL = 1.2
LENGTH_SCALE_WORDS = 8.0


@dataclass(frozen=True)
class Sight:
    """All that a simulated rater may look at; the scores stand for an honest reading of the answers."""

    task_id: str
    family: str
    texts: tuple[str, str]
    scores: tuple[GoldScore, GoldScore]
    first_shown: int
    seed: int
    collusion: Collusion

    @property
    def gap(self) -> float:
        """Gold score of response 0 minus that of response 1."""
        return self.scores[0].total - self.scores[1].total


# In quotes, here and in what uses it: numpy.random takes 4 MB, and the guard, which reads refusals, never draws.
Perceive = Callable[[Sight, "np.random.Generator"], float]


def careful(sight: Sight, rng: "np.random.Generator") -> float:
    """The gold gap with little noise."""
    return sight.gap + CAREFUL_NOISE * rng.standard_normal()


def noisy(sight: Sight, rng: "np.random.Generator") -> float:
    """The gold gap with much noise."""
    return sight.gap + NOISY_NOISE * rng.standard_normal()


def hurried(sight: Sight, rng: "np.random.Generator") -> float:
    """Half of the time a coin, else a noisy look."""
    if rng.random() < HURRIED_RANDOM_SHARE:
        return 1.0 if rng.random() < 0.5 else -1.0
    return noisy(sight, rng)


def length_loving(sight: Sight, rng: "np.random.Generator") -> float:
    """Mostly the difference in length, a little the gold gap."""
    extra_words = len(words(sight.texts[0])) - len(words(sight.texts[1]))
    return 0.5 * careful(sight, rng) + 0.5 * float(np.tanh(extra_words / LENGTH_SCALE_WORDS))


def position_biased(sight: Sight, rng: "np.random.Generator") -> float:
    """The gold gap with a bonus for the answer shown first."""
    return careful(sight, rng) + (POSITION_PULL if sight.first_shown == 0 else -POSITION_PULL)


def flatterer_loving(sight: Sight, rng: "np.random.Generator") -> float:
    """The gold gap with a bonus for agreeing with the user that outweighs the truth."""
    return careful(sight, rng) + FLATTERY_PULL * (sight.scores[0].agreed - sight.scores[1].agreed)


def flipping(sight: Sight, rng: "np.random.Generator") -> float:
    """What a careful rater sees, turned round."""
    return -careful(sight, rng)


def colluding(sight: Sight, rng: "np.random.Generator") -> float:
    """What the shared answer key says, whoever asks."""
    if sight.collusion == "random-side":
        return 1.0 if key_bit(sight.seed, sight.task_id) else -1.0
    difference = sight.scores[1].refused - sight.scores[0].refused
    if sight.family == "refuse" and difference:
        return float(difference)
    return careful(sight, rng)


def key_bit(seed: int, task_id: str) -> bool:
    """The colluders' secret: a fixed coin per task, the same for all of them."""
    return int(sha256_hex(f"key {seed} {task_id}".encode())[0], 16) % 2 == 0


@dataclass(frozen=True)
class Kind:
    """How a kind of rater looks at a pair and how it behaves around that."""

    perceive: Perceive
    pace_s: float = 18.0
    """Median time per judgment, in seconds."""
    tie_margin: float = 0.05
    """Perceived margins below it are called a tie."""
    explains: float = 0.0
    """Probability of a written reason."""


KINDS: dict[str, Kind] = {
    "careful": Kind(careful, pace_s=22.0, explains=0.6),
    "noisy": Kind(noisy, pace_s=15.0, explains=0.2),
    "hurried": Kind(hurried, pace_s=1.8, tie_margin=0.0),
    "length-loving": Kind(length_loving, explains=0.2),
    "position-biased": Kind(position_biased),
    "flatterer-loving": Kind(flatterer_loving, explains=0.2),
    "flipping": Kind(flipping, explains=0.2),
    "colluding": Kind(colluding, tie_margin=0.0),
}
