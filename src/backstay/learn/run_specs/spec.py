"""What a run spec is: options of another trainer, and what of ours it has no word for."""

import math
from dataclasses import dataclass

from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.rl.algorithms import ALGORITHMS
from backstay.learn.settings import ModelSettings

NEVER = 1e6
"""Stands for "off" where the other side has no word for it: a limit that nothing reaches."""


@dataclass(frozen=True)
class Facts:
    """What a spec is made of. `response_tokens` is the mean length of the run's last round."""

    model: ModelSettings
    ppo: PpoSettings
    train_prompts: int
    heldout_prompts: int
    response_tokens: float

    @property
    def prompts_a_round(self) -> int:
        """Different prompts in a round."""
        return self.ppo.episodes // self.ppo.group

    @property
    def passes(self) -> int:
        """Passes over the prompts that give at least as many rounds as the recipe asks for."""
        return max(1, math.ceil(self.ppo.updates / max(1, self.train_prompts // self.prompts_a_round)))

    @property
    def repeats(self) -> int:
        """How often prompts stand in the file: a round that is larger than the file would never be filled."""
        return max(1, math.ceil(self.prompts_a_round / max(1, self.train_prompts)))

    @property
    def kl_target_a_token(self) -> float:
        """Our target is in nats a response; theirs in nats a token, averaged over each response."""
        return self.ppo.kl_target / max(1.0, self.response_tokens)

    @property
    def average(self) -> str:
        """`token` or `response`: what the policy loss averages over."""
        settings = self.ppo
        return ALGORITHMS[settings.algorithm].average if settings.average == "auto" else settings.average

    @property
    def ratio(self) -> str:
        """`token` or `response`: what the probability ratio is taken over."""
        return ALGORITHMS[self.ppo.algorithm].ratio if self.ppo.ratio == "auto" else self.ppo.ratio


@dataclass(frozen=True)
class Missing:
    """One of our settings that the other trainer has no word for, and what that means."""

    setting: str
    value: str
    what: str


@dataclass(frozen=True)
class RunSpec:
    """Options in the order of the command, each with the setting of ours that it comes from ("" = a choice made here).

    A value of None is a switch without a value.
    """

    options: dict[str, str | None]
    comes_from: dict[str, str]
    missing: tuple[Missing, ...]


class SpecWriter:
    """Collects options."""

    def __init__(self) -> None:
        self.options: dict[str, str | None] = {}
        self.comes_from: dict[str, str] = {}

    def put(self, option: str, value: object, setting: str = "") -> None:
        """Add an option."""
        self.options[option] = plain(value)
        self.comes_from[option] = setting

    def switch(self, option: str, setting: str = "") -> None:
        """Add a switch without a value."""
        self.options[option] = None
        self.comes_from[option] = setting


def plain(value: object) -> str:
    """A value as a shell and a YAML parser read it alike."""
    if isinstance(value, bool):
        return "True" if value else "False"
    return repr(value) if isinstance(value, float) else str(value)
