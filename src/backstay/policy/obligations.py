"""What must be done when a decision is carried out, and how the obligations of several rules become one list."""

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Names = Annotated[tuple[Name, ...], Field(min_length=1, strict=False)]


class Closed(BaseModel):
    """Frozen, closed and strict: nothing is coerced, nothing unknown is let through."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Redact(Closed):
    """Replace what the scanners found of these kinds (`*`: of any kind)."""

    name: Literal["redact"] = "redact"
    kinds: Names


class Mask(Closed):
    """Hide the values of these arguments from logs and approvers."""

    name: Literal["mask"] = "mask"
    args: Names


class RequireApproval(Closed):
    """Hold until `k` different people, each with one of the roles `of`, approve within `expires_s` seconds."""

    name: Literal["require_approval"] = "require_approval"
    k: int = Field(default=1, ge=1, le=20)
    of: Names
    expires_s: float = Field(default=3600, gt=0, le=31_536_000)


class Route(Closed):
    """Send the request to another model."""

    name: Literal["route"] = "route"
    model: Name


class Limit(Closed):
    """At most `at_most` of these within `within_s` seconds, for each principal."""

    name: Literal["limit"] = "limit"
    at_most: int = Field(ge=1)
    within_s: float = Field(gt=0)


class Annotate(Closed):
    """Put labels on the audit row."""

    name: Literal["annotate"] = "annotate"
    labels: Names


class Canary(Closed):
    """Plant a canary of this kind, so that a leak is seen."""

    name: Literal["canary"] = "canary"
    kinds: Names


Obligation = Redact | Mask | RequireApproval | Route | Limit | Annotate | Canary
KINDS: dict[str, type[Closed]] = {
    "redact": Redact,
    "mask": Mask,
    "require_approval": RequireApproval,
    "route": Route,
    "limit": Limit,
    "annotate": Annotate,
    "canary": Canary,
}


def _written(value: Any) -> Any:
    """`{redact: {kinds: [secret]}}` as it is written, to the form that validates."""
    if isinstance(value, Closed):
        return value
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(
            f"an obligation is one name with its settings, not {value!r}; for example redact: {{kinds: [secret]}}"
        )
    ((name, body),) = value.items()
    if name not in KINDS:
        near = difflib.get_close_matches(str(name), KINDS, n=1)
        raise ValueError(
            f"unknown obligation {name!r}; " + (f"nearest: {near[0]}" if near else f"known: {', '.join(KINDS)}")
        )
    if not isinstance(body, dict) or "name" in body:
        raise ValueError(f"obligation {name} needs its settings as a mapping, not {body!r}")
    return {"name": name, **body}


WrittenObligation = Annotated[
    Annotated[Obligation, Field(discriminator="name")],
    BeforeValidator(_written),
]


class Merged(BaseModel):
    """Obligations of all rules that decided, the strictest of each kind, in a fixed order."""

    model_config = ConfigDict(frozen=True)
    obligations: tuple[Obligation, ...]
    conflict: str = ""


def merge_obligations(obligations: Iterable[Obligation]) -> Merged:
    """Unite redactions, masks, labels and canaries; keep the strictest limits and approvals.

    Approvals with the same roles become one (largest k); different roles must all approve; the shortest expiry holds
    for each. Routes to different models are a conflict, which the caller refuses. Order and repetition do not matter.
    """
    given = list(obligations)
    merged: list[Obligation] = []
    if kinds := {kind for o in given if isinstance(o, Redact) for kind in o.kinds}:
        merged.append(Redact(kinds=tuple(sorted(kinds))))
    if args := {arg for o in given if isinstance(o, Mask) for arg in o.args}:
        merged.append(Mask(args=tuple(sorted(args))))
    merged += _approvals([o for o in given if isinstance(o, RequireApproval)])
    models = sorted({o.model for o in given if isinstance(o, Route)})
    merged += [Route(model=model) for model in models]
    merged += _limits([o for o in given if isinstance(o, Limit)])
    if labels := {label for o in given if isinstance(o, Annotate) for label in o.labels}:
        merged.append(Annotate(labels=tuple(sorted(labels))))
    if planted := {kind for o in given if isinstance(o, Canary) for kind in o.kinds}:
        merged.append(Canary(kinds=tuple(sorted(planted))))
    conflict = f"rules route to different models: {', '.join(models)}" if len(models) > 1 else ""
    return Merged(obligations=tuple(merged), conflict=conflict)


def _approvals(given: list[RequireApproval]) -> list[RequireApproval]:
    needed: dict[tuple[str, ...], int] = {}
    for approval in given:
        roles = tuple(sorted(set(approval.of)))
        needed[roles] = max(needed.get(roles, 0), approval.k)
    expires_s = min((approval.expires_s for approval in given), default=0.0)
    return [RequireApproval(k=k, of=roles, expires_s=expires_s) for roles, k in sorted(needed.items())]


def _limits(given: list[Limit]) -> list[Limit]:
    lowest: dict[float, int] = {}
    for limit in given:
        lowest[limit.within_s] = min(lowest.get(limit.within_s, limit.at_most), limit.at_most)
    return [Limit(at_most=most, within_s=within_s) for within_s, most in sorted(lowest.items())]
