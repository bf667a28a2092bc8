"""What a lead should look into, in words, from a fitted aggregation: raters who act as one, copy, change or lie."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backstay.aggregate.fitted import Fitted
from backstay.aggregate.source_evidence import CopyGroup
from backstay.aggregate.trust import Group
from backstay.records import RaterTrust

NAMED = 200
"""Raters that an alarm names at most; `size` counts them all."""


class Alarm(NamedTuple):
    """One finding about raters, who are named by id."""

    kind: str
    tone: str
    title: str
    text: str
    raters: tuple[str, ...]
    size: int


def alarms_of(
    general: Fitted, trust: Sequence[RaterTrust], rater_ids: Sequence[str], changed_on: Mapping[int, str]
) -> list[Alarm]:
    """Every alarm, those that need a decision first; `changed_on` says when raters (by number) changed."""
    found = [_bloc(group, general, rater_ids) for group in general.groups]
    found += [_copies(group, rater_ids) for group in general.copied]
    found += changed(changed_on, rater_ids)
    wrong = [row.rater_id for row in trust if row.high < 0.5]
    if wrong:
        text = "More often wrong than right; their votes count the other way round, and as much as that is sure."
        found.append(_alarm("below_chance", "alarm", f"{_raters(wrong)} below chance", text, wrong))
    unverified = [row.rater_id for row in trust if any(note.startswith("unverified") for note in row.notes)]
    if unverified:
        text = "No gold item and no second voice to compare with: their trust is assumed, not measured."
        found.append(_alarm("unverified", "note", f"{_raters(unverified)} not verified", text, unverified))
    return sorted(found, key=lambda alarm: alarm.tone != "alarm")


def changed(changed_on: Mapping[int, str], rater_ids: Sequence[str]) -> list[Alarm]:
    """Raters whose votes became better or worse."""
    if not changed_on:
        return []
    names = [rater_ids[r] for r in sorted(changed_on)]
    days = "; ".join(f"{rater_ids[r]} on {changed_on[r][:10]}" for r in sorted(changed_on)[:5])
    text = f"Their votes became better or worse: {days}. Another person, a tool, or a motive?"
    return [_alarm("changed", "alarm", f"{_raters(names)} changed", text, names)]


def _bloc(group: Group, general: Fitted, rater_ids: Sequence[str]) -> Alarm:
    bloc, settings = group.bloc, general.settings
    names = [rater_ids[r] for r, member in enumerate(bloc.membership) if member >= settings.bloc_membership]
    text = f"They agree on {bloc.agreement:.0%} of common votes, where {bloc.expected:.0%} is expected."
    if group.preference:
        text += " They pass gold, so this is a preference that they share; nothing is taken off their votes."
        return _alarm("preference", "note", f"{_raters(names)} share a preference", text, names)
    gold = group.gold_right + group.gold_wrong
    text += f" On gold they are right {group.gold_right:.0f} times in {gold:.0f}." if gold else " None saw gold."
    text += " Together they count as about one voice."
    return _alarm("bloc", "alarm", f"{_raters(names)} act as one", text, names)


def _copies(group: CopyGroup, rater_ids: Sequence[str]) -> Alarm:
    names = [rater_ids[r] for r in group.raters]
    text = f"{group.copies} of their rationales are the same {group.texts} texts."
    return _alarm("copies", "alarm", f"{_raters(names)} give the same rationales", text, names)


def _alarm(kind: str, tone: str, title: str, text: str, raters: Sequence[str]) -> Alarm:
    return Alarm(kind, tone, title, text, tuple(raters[:NAMED]), len(raters))


def _raters(names: Sequence[str]) -> str:
    return f"{len(names)} {'rater' if len(names) == 1 else 'raters'}"
