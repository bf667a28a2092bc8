"""Counts with a few examples, in bounded memory whatever is counted."""

from dataclasses import dataclass, field
from typing import Any

MAX_NAMES = 10_000
OTHERS = "(others)"


@dataclass
class Tally:
    """How often, and the first ids."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str, keep: int) -> None:
        """Count one."""
        self.count += 1
        if len(self.examples) < keep:
            self.examples.append(example)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"count": self.count, "examples": self.examples}


class Tallies:
    """Tallies by name; beyond 10,000 names the rest is counted together."""

    def __init__(self, keep: int = 5) -> None:
        self._keep = keep
        self._by_name: dict[str, Tally] = {}

    def add(self, name: str, example: str) -> None:
        """Count one under a name."""
        tally = self._by_name.get(name)
        if tally is None:
            name = name if len(self._by_name) < MAX_NAMES else OTHERS
            tally = self._by_name.setdefault(name, Tally())
        tally.add(example, self._keep)

    def __getitem__(self, name: str) -> Tally:
        """The tally of a name; an empty one where nothing was counted."""
        return self._by_name.get(name, Tally())

    def __bool__(self) -> bool:
        """Whether anything was counted."""
        return bool(self._by_name)

    def ranked(self) -> list[tuple[str, Tally]]:
        """Largest first, then by name."""
        return sorted(self._by_name.items(), key=lambda item: (-item[1].count, item[0]))

    @property
    def total(self) -> int:
        """The sum of all counts."""
        return sum(tally.count for tally in self._by_name.values())

    def as_json(self) -> dict[str, Any]:
        """For programs, largest first."""
        return {name: tally.as_json() for name, tally in self.ranked()}
