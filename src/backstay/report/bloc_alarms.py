"""The alarm of a bloc: raters whose votes are more alike than their accuracies explain."""

from collections.abc import Mapping, Sequence
from typing import Any

from backstay.report.alarms import Alarm, raters_with
from backstay.report.wording import chance, number, percent, words

Json = Mapping[str, Any]
FEW_GOLD = 10
"""Answers of a bloc to gold items below which its record says little."""

LEVEL = 0.05
"""Corrected p-value up to which something is shared beyond chance."""

SIGNALS = {"rationale": "rationales", "client": "clients", "timing": "times of judging"}


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


def copy_alarm(row: Json, names: Mapping[str, str]) -> Alarm:
    """The alarm of raters outside blocs who give the same rationales."""
    return Alarm(
        tone="alarm",
        title=f"{len(row['raters'])} raters give the same rationales",
        seen=f"They repeat each other's words {row['copies']} times, with {row['texts']} different texts.",
        strength=f"Chance of such a link if texts did not depend on raters: {chance(row['false_alarms'])} at most.",
        act="Read the texts: a form letter is harmless, one person behind several names is not.",
        who=tuple(names.get(str(rater), str(rater)) for rater in row["raters"]),
    )


def _is_member(note: str, row: Json) -> bool:
    """Whether the note of a rater speaks of this bloc: it gives the bloc's kind, size and figures."""
    kind = "shares a preference" if row["preference_group"] else "acts as one"
    figures = f"agree on {row['agreement']:.0%} of common votes, {row['expected_agreement']:.0%} expected"
    return note.startswith(f"{kind} with {row['raters'] - 1} others") and figures in note


def _strength(row: Json) -> str:
    said = [f"{percent(row['copying'])} of their common votes look copied ({row['gain_nats']:.0f} nats of evidence)."]
    if row.get("false_alarms") is not None:
        said.append(f"A crowd of independent raters shows as strong a bloc in {_at_most(row)}.")
    shared = row.get("signals") or row.get("same_source") or {}
    told = [_signal(str(name), test) for name, test in shared.items() if test["p_corrected"] <= LEVEL]
    return " ".join([*said, *([f"Shared beyond chance: {'; '.join(told)}."] if told else [])])


def _at_most(row: Json) -> str:
    return "most cases" if row["false_alarms"] > 0.5 else f"{chance(row['false_alarms'])} of cases"


def _signal(name: str, test: Json) -> str:
    """What members share besides their votes: how often, against as many raters drawn at random."""
    noun = SIGNALS.get(name, words(name))
    figures = f"{test['shared']} times, {number(test['expected'], 1)} expected"
    return f"{noun} ({figures}, chance {chance(test['p_corrected'])})"


def _act(gold_seen: int, *, preference: bool) -> str:
    if preference:
        return (
            "Nobody loses trust. If they are people with values of their own, label them as a cohort and choose a rule."
        )
    if gold_seen < FEW_GOLD:
        return "They count as about one voice. Give them gold items: their answers tell a fraud from a preference."
    return "They count as about one voice; nobody is removed. Read votes they share, then decide whether to ask again."
