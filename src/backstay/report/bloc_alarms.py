"""The alarm of a bloc: raters whose votes are more alike than their accuracies explain."""

from collections.abc import Mapping, Sequence
from typing import Any

from backstay.report.alarms import Alarm, raters_with
from backstay.report.wording import chance, percent, words

Json = Mapping[str, Any]
FEW_GOLD = 10
"""Answers of a bloc to gold items below which its record says little."""


def bloc_alarm(row: Json, trust: Sequence[Json], names: Mapping[str, str]) -> Alarm:
    """The alarm of one bloc; a notice where its members pass gold, for then they have a preference."""
    preference = bool(row["preference_group"])
    agree = f"They agree on {percent(row['agreement'])} of the votes they share; {percent(row['expected_agreement'])}"
    right, seen = round(row["gold_right"]), round(row["gold_right"] + row["gold_wrong"])
    gold = f"on gold {right} of {seen} right" if seen else "none of them saw a gold item"
    return Alarm(
        tone="notice" if preference else "alarm",
        title=f"{row['raters']} raters {'share a preference and pass gold' if preference else 'act as one'}",
        seen=f"{agree} would be expected; {gold}.",
        strength=_strength(row),
        act=_act(seen, preference=preference),
        who=raters_with(trust, names, lambda note: _is_member(note, row)),
    )


def _is_member(note: str, row: Json) -> bool:
    """Whether the note of a rater speaks of this bloc: it gives the bloc's kind, size and figures."""
    kind = "shares a preference" if row["preference_group"] else "acts as one"
    figures = f"agree on {row['agreement']:.0%} of common votes, {row['expected_agreement']:.0%} expected"
    return note.startswith(f"{kind} with {row['raters'] - 1} others") and figures in note


def _strength(row: Json) -> str:
    said = [f"{percent(row['copying'])} of their common votes look copied ({row['gain_nats']:.0f} nats of evidence)."]
    if row.get("false_alarms") is not None:
        said.append(f"An honest crowd raises such an alarm with a chance of {chance(row['false_alarms'])}.")
    signals = [text for signal in row.get("signals") or () if (text := _signal(signal))]
    return " ".join([*said, *([f"Also shared: {'; '.join(signals)}."] if signals else [])])


def _signal(signal: Any) -> str:
    """A shared trait in words, whether it is recorded as a sentence or as named figures."""
    if not isinstance(signal, Mapping):
        return words(str(signal))
    return ", ".join(
        f"{words(str(key))} {_figure(value)}".strip() for key, value in signal.items() if value is not None
    )


def _figure(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _act(gold_seen: int, *, preference: bool) -> str:
    if preference:
        return (
            "Nobody loses trust. If they are people with values of their own, label them as a cohort and choose a rule."
        )
    if gold_seen < FEW_GOLD:
        return "They count as about one voice. Give them gold items: their answers tell a fraud from a preference."
    return "They count as about one voice; nobody is removed. Read votes they share, then decide whether to ask again."
