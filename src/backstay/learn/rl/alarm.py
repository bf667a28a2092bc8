"""The reward-hacking alarm: monitors against their limits, round after round, and the reasons when it goes off."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.rl.divergence import Probe, divergence, gold_is_at_its_best

GROWTH_FLOOR = 1e-9


@dataclass(frozen=True)
class Monitored:
    """One round's numbers."""

    response_tokens: float
    repetition: float
    refusal: float
    spread: float
    novelty: float
    multiplier_pinned: bool = False


@dataclass
class Alarm:
    """Compares each round with the first, and proxy with gold.

    `update` gives the monitors that are over their limit in this round; one that has been for `alarm_patience` rounds
    in a row is a reason.
    """

    settings: PpoSettings
    first: Monitored | None = None
    probes: list[Probe] = field(default_factory=list)
    streak: dict[str, int] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)

    def update(self, seen: Monitored, probe: Probe | None) -> dict[str, str]:
        """Take in a round; returns what is over its limit now, in words, by monitor."""
        if self.first is None:
            self.first = seen
        if probe is not None:
            self.probes.append(probe)
        over = {name: why for name, why in self._over(seen, self.first).items() if why}
        unchanged = {} if probe is not None else {k: v for k, v in self.streak.items() if k == "divergence"}
        self.streak = {name: self.streak.get(name, 0) + 1 for name in over} | unchanged
        return over

    def reasons(self, over: Mapping[str, str]) -> list[str]:
        """Those of `over` that have lasted."""
        return [why for name, why in sorted(over.items()) if self.streak[name] >= self.settings.alarm_patience]

    def _over(self, seen: Monitored, first: Monitored) -> dict[str, str]:
        limits = self.settings
        repeated, refused = seen.repetition - first.repetition, seen.refusal - first.refusal
        longer, apart = (seen.response_tokens, first.response_tokens), (seen.spread, first.spread)
        pinned = "the multiplier stands at its maximum: the cost threshold is out of reach"
        return {
            "length": _growth("responses are {} times as long", *longer, limits.alarm_length),
            "repetition": _rise("repeated 3-grams rose by {}", repeated, limits.alarm_repetition),
            "refusal": _rise("refusals rose by {}", refused, limits.alarm_refusal),
            "spread": _growth("members disagree {} times as much", *apart, limits.alarm_spread),
            "novelty": _rise("{} of responses are unlike any of the reference's", seen.novelty, limits.alarm_novelty),
            "divergence": self._divergence(),
            "multiplier": pinned if seen.multiplier_pinned else "",
        }

    def _divergence(self) -> str:
        if not self.settings.alarm_divergence:
            return ""
        change = divergence(self.probes, self.settings.alarm_divergence)
        return "" if change is None else str(change)

    @property
    def at_its_best(self) -> bool:
        """Whether nothing that was probed so far speaks for an earlier policy; always True without gold."""
        return gold_is_at_its_best(self.probes)

    def numbers(self) -> dict[str, Any]:
        """What an exact resume needs."""
        return {
            "first": None if self.first is None else vars(self.first),
            "probes": [list(astuple(probe)) for probe in self.probes],
            "streak": self.streak,
            "history": self.history,
        }

    def restore(self, numbers: Mapping[str, Any]) -> None:
        """Take back what `numbers` gave."""
        self.first = None if numbers["first"] is None else Monitored(**numbers["first"])
        self.probes = [Probe(*pair) for pair in numbers["probes"]]
        self.streak = dict(numbers["streak"])
        self.history = list(numbers["history"])


def _growth(words: str, now: float, first: float, limit: float) -> str:
    if not limit or first <= GROWTH_FLOOR or not now > limit * first:
        return ""
    return f"{words.format(f'{now / first:.1f}')} as in the first round (limit {limit:g})"


def _rise(words: str, rise: float, limit: float) -> str:
    return f"{words.format(f'{rise:.0%}')} (limit {limit:.0%})" if limit and rise > limit else ""
