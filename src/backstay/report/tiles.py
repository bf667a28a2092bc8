"""The figures under the verdict: before, after, and whether the change is more than chance."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from backstay.records import Record
from backstay.report.data import ReportData
from backstay.report.wording import number, percent, percent_span, signed, signed_span, span

Json = Mapping[str, Any]
Show = Callable[[float | None], str]
Tone = Literal["good", "bad", "plain"]


class Bar(Record):
    """An interval on a scale of 0 to 100, for drawing."""

    low: float
    mean: float
    high: float


class Tile(Record):
    """One figure; `before` is empty where there is only one value."""

    label: str
    value: str
    before: str = ""
    change: str = ""
    detail: str = ""
    tone: Tone = "plain"
    judgment: str = ""
    bars: tuple[Bar, ...] = ()


def tiles(data: ReportData) -> list[Tile]:
    """All figures that were measured, most important first."""
    evaluation = data.evaluation
    found: list[Tile | None] = []
    if evaluation is not None:
        found = [
            _compared(evaluation, "gold", "Gold score", number, wanted=1),
            _win_rate(evaluation),
            _compared(evaluation, "refusal", "Refuses harmful requests", percent, wanted=1),
            _compared(evaluation, "over_refusal", "Refuses harmless requests", percent, wanted=-1),
            _compared(evaluation, "flattery", "Sides with wrong opinions", percent, wanted=-1),
            _drift(evaluation, data.meta.kl_budget_nats),
            _compared(evaluation, "reward", "Reward (what it was trained on)", number, wanted=0),
            _compared(evaluation, "tokens", "Answer length, tokens", lambda value: number(value, 1), wanted=0),
        ]
    return [tile for tile in [*found, _reward_model(data.reward)] if tile is not None]


def _compared(evaluation: Json, name: str, text: str, show: Show, *, wanted: int) -> Tile | None:
    before, after, change = (evaluation[key][name] for key in ("before", "after", "difference"))
    if before is None or after is None or change is None:
        return None
    as_share = show is percent
    tone, judgment = _judge(change, wanted)
    return Tile(
        label=text,
        before=show(before["mean"]),
        value=show(after["mean"]),
        change=_points(change) if as_share else f"{signed(change['mean'])} ({signed_span(change)})",
        tone=tone,
        judgment=judgment,
        bars=(_bar(before), _bar(after)) if as_share or (name == "gold" and _fits(before, after)) else (),
    )


def _judge(change: Json, wanted: int) -> tuple[Tone, str]:
    if not change["excludes_zero"]:
        return "plain", "no clear change"
    if not wanted:
        return "plain", "changed"
    return ("good", "better") if change["mean"] * wanted > 0 else ("bad", "worse")


def _points(change: Json) -> str:
    bounds = {key: None if change[key] is None else 100 * change[key] for key in ("low", "high")}
    return f"{signed(100 * change['mean'], 0)} points ({signed_span(bounds, 0)})"


def _win_rate(evaluation: Json) -> Tile | None:
    row = evaluation["win_rate"]
    if row is None:
        return None
    low, high = row["low"], row["high"]
    clear = low is not None and (low > 0.5 or high < 0.5)
    tone: Tone = "plain" if not clear else "good" if row["mean"] > 0.5 else "bad"
    return Tile(
        label="Wins against before, by gold score",
        value=percent(row["mean"]),
        change=percent_span(row),
        detail="ties count half",
        tone=tone,
        judgment={"good": "better than a coin", "bad": "worse than a coin"}.get(tone, "no clear change"),
        bars=(_bar(row),),
    )


def _drift(evaluation: Json, budget: float | None) -> Tile:
    row = evaluation["kl_nats"]
    over = budget is not None and budget > 0 and row["mean"] > budget
    return Tile(
        label="Drift from the reference (KL)",
        value=f"{number(row['mean'], 1)} nats",
        change=span(row["low"], row["high"], 1),
        detail="per response" + (f", budget {number(budget, 1)}" if budget else ""),
        tone="bad" if over else "plain",
        judgment="over budget" if over else "within budget" if budget else "",
    )


def _reward_model(reward: Json | None) -> Tile | None:
    if reward is None:
        return None
    heldout = reward["heldout"]
    return Tile(
        label="Reward model, held-out accuracy",
        value=percent(heldout["accuracy"], 1),
        change=percent_span(heldout),
        detail=f"calibration error {percent(heldout['ece'], 1)}",
        bars=(_bar({**heldout, "mean": heldout["accuracy"]}),),
    )


def _fits(before: Json, after: Json) -> bool:
    """Whether both intervals lie in [0, 1], so that a scale of that width is honest."""
    bounds = [row[key] for row in (before, after) for key in ("low", "mean", "high") if row[key] is not None]
    return all(0.0 <= bound <= 1.0 for bound in bounds)


def _bar(row: Json) -> Bar:
    mean = row["mean"]
    low, high = (mean if row[key] is None else row[key] for key in ("low", "high"))
    return Bar(low=_scale(low), mean=_scale(mean), high=_scale(high))


def _scale(share: float) -> float:
    return round(100.0 * min(1.0, max(0.0, share)), 2)
