"""Pairs, the only records that training reads, and what screening says of them."""

from typing import Annotated, Any, Literal

from pydantic import Field

from backstay.records.base import Record
from backstay.records.judgment import Dimension

PairStatus = Literal["aggregated", "accepted", "quarantined", "released"]


class Finding(Record):
    """What a scanner or check saw, with the evidence a person needs to judge it."""

    scanner: str
    kind: str
    severity: Literal["info", "low", "medium", "high", "critical"]
    span: tuple[int, int] | None = None
    evidence: str = ""


class Verdict(Record):
    """A policy's decision."""

    effect: Literal["allow", "deny", "redact", "approve", "quarantine"]
    rule_id: str
    reason: str
    obligations: tuple[str, ...] = ()
    policy_hash: str = ""


class Pair(Record):
    """Two responses with the aggregated probability that `a` is better than `b`.

    `p_a` in [0, 1]; `weight` >= 0 with 1 for a pair of ordinary evidence; `dispute` in [0, 1] with 0 for one voice.
    """

    id: str
    prompt_id: str
    a: str
    b: str
    dimension: Dimension = "overall"
    p_a: Annotated[float, Field(ge=0.0, le=1.0)]
    weight: Annotated[float, Field(ge=0.0)]
    dispute: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    n_raters: Annotated[int, Field(ge=0)] = 0
    provenance: dict[str, Any] = Field(default_factory=dict)
    status: PairStatus = "aggregated"
    findings: tuple[Finding, ...] = ()

    @property
    def may_teach(self) -> bool:
        """Whether a model may learn from it: screening let it pass, or a person released it, and it has weight."""
        return self.status in ("accepted", "released") and self.weight > 0


class RaterTrust(Record):
    """What aggregation believes of one rater.

    `trust` is the posterior mean probability that the rater agrees with the truth on a clear pair; `low` and `high`
    bound its central 95 % interval. `gold_seen` and `gold_right` count the anchors among `n_judgments`.
    """

    rater_id: str
    trust: float
    low: float
    high: float
    n_judgments: int
    gold_seen: int = 0
    gold_right: int = 0
    weight: float = 0.0
    notes: tuple[str, ...] = ()
