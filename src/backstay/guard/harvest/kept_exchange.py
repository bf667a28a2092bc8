"""An exchange as it is kept: what was said, what was decided on it, and why it was kept."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field

from backstay.policy.rules import Outcome
from backstay.records import Record, sha256_hex

Why = Literal["denied", "held", "approved", "sampled"]
TEXT_POINT, CALL_POINT = "model.output", "model.tool_call"


class Turn(Record):
    """One text of the conversation; `tool` is the name of the tool whose output it is."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    tool: str = ""


class KeptDecision(Record):
    """One decision and what it was made on; `masked` are the kinds that were replaced in text and arguments."""

    id: str
    point: str
    effect: Outcome
    rules: tuple[str, ...]
    policy: str
    action: str = ""
    tool: str = ""
    roles: tuple[str, ...] = ()
    resource: str = ""
    text: str = ""
    args: dict[str, Any] = Field(default_factory=dict)
    findings: dict[str, int] | None = None
    provenance: dict[str, tuple[str, ...]] | None = None
    call: dict[str, str | tuple[str, ...]] | None = None
    counters: dict[str, float | None] = Field(default_factory=dict)
    masked: tuple[str, ...] = ()


class KeptExchange(Record):
    """One exchange; before it is kept, every text in it goes through the redaction."""

    exchange: str
    principal: str
    at_ms: int
    api: str
    model: str
    effect: Outcome
    why: tuple[Why, ...]
    turns: tuple[Turn, ...]
    decisions: tuple[KeptDecision, ...]
    masked: tuple[str, ...] = ()

    @property
    def answers(self) -> tuple[KeptDecision, ...]:
        """The decisions on what the model said, one a choice."""
        return tuple(one for one in self.decisions if one.point == TEXT_POINT and one.text)

    @property
    def size_chars(self) -> int:
        """Characters of all texts; arguments of calls stand in the texts of their decisions too."""
        return sum(len(turn.text) for turn in self.turns) + sum(len(one.text) for one in self.decisions)


class Thumb(NamedTuple):
    """What a client thought of an exchange: score 1 or -1, and a comment after redaction."""

    id: str
    exchange: str
    principal: str
    score: int
    at_ms: int
    comment: str


class KeptRow(NamedTuple):
    """An exchange with the thumbs on it, oldest first, and what people said to what was held ("" = nothing yet)."""

    kept: KeptExchange
    thumbs: tuple[Thumb, ...] = ()
    verdict: str = ""

    @property
    def latest(self) -> tuple[Thumb, ...]:
        """The last thumb of each principal."""
        return tuple({thumb.principal: thumb for thumb in self.thumbs}.values())


def reasons(
    keep: Sequence[str], sample: float, exchange: str, outcome: Outcome, effects: Sequence[Outcome]
) -> tuple[Why, ...]:
    """Why an exchange is kept; () where nothing but a thumb could be a reason.

    `outcome` is how it ended, `effects` what was decided on the way: one that was held and yet went out was approved.
    """
    held = "hold" in effects
    said: dict[Why, bool] = {
        "denied": outcome == "deny" or "deny" in effects,
        "held": outcome == "hold",
        "approved": held and outcome == "allow",
    }
    found = tuple(why for why, holds in said.items() if holds and why in keep)
    return found or (("sampled",) if share_of(exchange) < sample else ())


def share_of(exchange: str) -> float:
    """A number in [0, 1) that an exchange's id fixes."""
    return int(sha256_hex(exchange.encode())[:13], 16) / 16.0**13
