"""Red-team cases out of what was denied and held: real attacks, and real mistakes of the guard."""

from typing import Any, Literal

from backstay.guard.harvest.kept_exchange import KeptDecision, KeptRow, Turn
from backstay.records import Record, content_id
from backstay.records.production import LABEL, Source

EXPECTED: dict[str, Literal["denied", "held"]] = {"deny": "denied", "hold": "held"}


class RedTeamCase(Record):
    """One line of redteam.jsonl.

    `replayable`: nothing that the decision was made on was replaced. `disputed`: a person approved what was held, or
    a client called the denial wrong; a false alarm, perhaps.
    """

    id: str
    label: str = LABEL
    point: str
    prompt: tuple[Turn, ...]
    text: str
    tool: str
    args: dict[str, Any]
    findings: dict[str, int] | None
    rule: str
    rules: tuple[str, ...]
    expected: Literal["denied", "held"]
    masked: tuple[str, ...]
    replayable: bool
    verdict: str
    thumbs_up: int
    thumbs_down: int
    disputed: bool
    source: Source


def cases_of(row: KeptRow) -> list[RedTeamCase]:
    """A case for each decision of an exchange that did not allow."""
    return [_case(row, one) for one in row.kept.decisions if one.effect in EXPECTED]


def _case(row: KeptRow, one: KeptDecision) -> RedTeamCase:
    scores = [thumb.score for thumb in row.latest]
    down = scores.count(-1)
    replaced = {*one.masked, *row.kept.masked} if one.point != "model.tool_call" else set(one.masked)
    return RedTeamCase(
        id=content_id("case", [row.kept.exchange, one.id]),
        point=one.point,
        prompt=row.kept.turns,
        text=one.text,
        tool=one.tool,
        args=one.args,
        findings=one.findings,
        rule=one.rules[0] if one.rules else "",
        rules=one.rules,
        expected=EXPECTED[one.effect],
        masked=one.masked,
        replayable=not replaced.intersection(one.findings or ()) and "withheld" not in one.masked,
        verdict=row.verdict,
        thumbs_up=scores.count(1),
        thumbs_down=down,
        disputed=row.verdict == "approved" or (one.effect == "deny" and down > 0),
        source=Source(exchange=row.kept.exchange, decisions=(one.id,), policy=one.policy, effect=one.effect),
    )
