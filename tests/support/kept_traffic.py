"""Kept exchanges that are made up, in the shape that the gateway hands over."""

from typing import Any

from backstay.guard.harvest import KeptDecision, KeptExchange, KeptRow, Thumb, Turn

POLICY = "f" * 64
AT_MS = 1_800_000_000_000


def exchange_id(number: int) -> str:
    """An id that sorts by its number."""
    return f"00000000-0000-7000-8000-{number:012d}"


def decided(point: str, effect: Any = "allow", **facts: Any) -> KeptDecision:
    """One decision."""
    facts.setdefault("id", f"d-{point}-{effect}")
    facts.setdefault("rules", ("r1",) if effect != "allow" else ())
    facts.setdefault("findings", {})
    return KeptDecision(point=point, effect=effect, policy=POLICY, **facts)


def said(number: int, asked: str, *answers: str, effect: Any = "allow", **facts: Any) -> KeptExchange:
    """An exchange: a prompt and its answers, on all of which the same was decided."""
    decisions = (
        decided("request.input", text=asked),
        *(decided("model.output", effect, text=text, id=f"d-{number}-{i}") for i, text in enumerate(answers)),
    )
    given: dict[str, Any] = {
        "exchange": exchange_id(number),
        "principal": "alice",
        "at_ms": AT_MS + number,
        "api": "chat",
        "model": "m",
        "effect": effect,
        "why": ("denied",) if effect == "deny" else (),
        "turns": (Turn(role="user", text=asked),),
        "decisions": decisions,
    }
    return KeptExchange(**(given | facts))


def thumb(number: int, score: int, principal: str = "alice", *, at_ms: int = AT_MS, comment: str = "") -> Thumb:
    """A thumb on an exchange."""
    return Thumb(f"t-{number}-{principal}-{score}", exchange_id(number), principal, score, at_ms, comment)


def row(number: int, asked: str, *answers: str, scores: dict[str, int] | None = None, **facts: Any) -> KeptRow:
    """An exchange with thumbs by principal."""
    verdict = facts.pop("verdict", "")
    thumbs = tuple(thumb(number, score, principal) for principal, score in (scores or {}).items())
    return KeptRow(said(number, asked, *answers, **facts), thumbs, verdict)
