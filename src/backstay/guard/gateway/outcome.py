"""What a client asks for beside its body, and how an exchange ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

from backstay.guard.enforcer import Exchange
from backstay.guard.gateway.context import Context


@dataclass(frozen=True)
class Asked:
    """What a client asks for beside its body."""

    session: str = ""
    approval: str = ""
    """An approval that what it asks for was held for."""
    wait_s: float = 0.0
    """How long it waits for a decision on what is held."""
    trace: Mapping[str, str] = field(default_factory=dict)
    """Headers that may hold the client's trace."""


@dataclass
class Outcome:
    """How an exchange ended, for the journal and the metrics."""

    api: str
    model: str = ""
    status: str = "ok"
    effect: str = "allow"
    tokens: int = 0
    began: float = field(default_factory=monotonic)


class OutcomeLog(Protocol):
    """Where ends of exchanges are written."""

    def outcome(self, exchange: Exchange, outcome: Outcome) -> None:
        """Write one; never raises, since the exchange is over."""


class Harvest(Protocol):
    """What is kept of exchanges for rating and red-teaming; see `harvesting.Harvester`."""

    def ended(self, context: Context, outcome: Outcome) -> None:
        """An exchange has ended; never raises and never waits."""


def tokens_of(usage: Any) -> int:
    """What an upstream says was used, 0 where it says nothing that can be read."""
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) and not isinstance(total, bool) and total > 0 else 0
