"""The alarms of an aggregation, read from `aggregate.json` and `trust.jsonl`; nothing is computed anew."""

from collections.abc import Mapping, Sequence
from typing import Any

from backstay.report.alarms import Alarm, rater_noun, raters_with
from backstay.report.bloc_alarms import bloc_alarm, copy_alarm
from backstay.report.wording import chance, count, percent

Json = Mapping[str, Any]
AUDIT = ("backstay audit -o audit.jsonl", "backstay run aggregate.audits=audit.jsonl")
TOLD_BY_TOPIC = ("votes contradict each other on ", "answers do not follow their content on ")
SHOWN_CHANGES = 5


def rater_alarms(aggregate: Json, trust: Sequence[Json], names: Mapping[str, str]) -> list[Alarm]:
    """Every alarm of an aggregation, what needs a decision first; `names` maps rater ids to what people read."""
    found = [
        *(bloc_alarm(row, trust, names) for row in aggregate.get("blocs") or ()),
        *(copy_alarm(row, names) for row in aggregate.get("same_source") or ()),
        *_topics(aggregate, trust, names),
        *_changed(trust, names),
        *_below_chance(trust, names),
        *_cohorts(aggregate.get("cohorts") or {}),
        *_unverified(trust, names),
        *_warnings(aggregate),
    ]
    return sorted(found, key=lambda alarm: alarm.tone != "alarm")


def _topics(aggregate: Json, trust: Sequence[Json], names: Mapping[str, str]) -> list[Alarm]:
    topics = aggregate.get("topics") or ()
    suspected = [row for row in topics if row["suspected"] and not row["judged_apart"]]
    found = [_suspected(suspected, len(aggregate.get("audit") or ()))] if suspected else []
    return found + [_judged_apart(row, trust, names) for row in topics if row["judged_apart"]]


def _suspected(rows: Sequence[Json], proposed: int) -> Alarm:
    reasons = [reason for row in rows for reason in _reasons(row)]
    stake = sum(int(row.get("open_pairs", 0)) for row in rows)
    return Alarm(
        tone="alarm",
        title=f"Raters may be lying about {', '.join(str(row['topic']) for row in rows)}",
        seen=f"{'; '.join(reasons)}.",
        strength="Deviations are from the median topic, robust ones. Who is right only a trusted person can say.",
        act=f"Let a trusted person judge the {proposed} proposed pairs: {count(stake)} labels hang on what they show.",
        commands=AUDIT,
    )


def _reasons(row: Json) -> list[str]:
    topic, found = row["topic"], []
    by = row.get("suspected_by", ("votes",))
    if "votes" in by:
        votes = f"{percent(row['excess_contradictions'], 1)} of {count(row['votes'])} votes"
        found.append(f"{topic}: {votes} contradicted beyond what accuracies explain ({row['z']:.1f} deviations)")
    if "content" in by:
        found.append(f"{topic}: answers do not follow what the responses say ({row['content_z']:.1f} deviations)")
    return found


def _changed(trust: Sequence[Json], names: Mapping[str, str]) -> list[Alarm]:
    """Raters whose votes became better or worse, in the words of their notes."""
    told = [(row, note) for row in trust for note in row.get("notes", ()) if str(note).startswith("changed on ")]
    if not told:
        return []
    who = tuple(names.get(str(row["rater_id"]), str(row["rater_id"])) for row, _ in told)
    shown = [f"{name} {note}" for name, (_, note) in zip(who, told, strict=True)][:SHOWN_CHANGES]
    more = f", and {len(who) - len(shown)} more" if len(who) > len(shown) else ""
    return [
        Alarm(
            tone="alarm",
            title=f"{len(who)} {'rater has' if len(who) == 1 else 'raters have'} changed",
            seen=f"{'; '.join(shown)}{more}.",
            strength="Each by a test over all its votes, at the false discovery rate aggregate.shift_level.",
            act="Votes from before the change are judged apart. Ask what changed: another person, a tool, a motive?",
            who=who,
        )
    ]


def _judged_apart(row: Json, trust: Sequence[Json], names: Mapping[str, str]) -> Alarm:
    who = raters_with(trust, names, lambda note: note.startswith(f"on {row['topic']} more often wrong than right"))
    return Alarm(
        tone="alarm",
        title=f"On {row['topic']} raters are judged by their record there",
        seen=f"The audit's answers call for it: {len(who)} {rater_noun(who)} more often wrong than right there.",
        strength=f"{percent(row['excess_contradictions'], 1)} of {count(row['votes'])} votes contradicted "
        "beyond what the raters' accuracies explain.",
        act="Their votes elsewhere keep their weight. Ask them about this topic before giving them more of it.",
        who=who,
    )


def _below_chance(trust: Sequence[Json], names: Mapping[str, str]) -> list[Alarm]:
    rows = [row for row in trust if _says(row, "more often wrong than right") and not _says(row, "acts as one")]
    if not rows:
        return []
    right, seen = (sum(int(row.get(key, 0)) for row in rows) for key in ("gold_right", "gold_seen"))
    who = tuple(names.get(str(row["rater_id"]), str(row["rater_id"])) for row in rows)
    return [
        Alarm(
            tone="alarm",
            title=f"{len(rows)} {rater_noun(rows)} more often wrong than right",
            seen=f"On gold: {right} of {seen} right." if seen else "They saw no gold item; others contradict them.",
            strength=f"Trust at most {percent(max(row['high'] for row in rows))}, as the end of the 95 % interval.",
            act="Ask whether they misread the task or mean it. Until then their votes count against what they say.",
            who=who,
        )
    ]


def _says(row: Json, beginning: str) -> bool:
    return any(str(note).startswith(beginning) for note in row.get("notes", ()))


def _cohorts(cohorts: Json) -> list[Alarm]:
    rule = str(cohorts.get("rule", "pooled"))
    found = [_difference(row, rule) for row in cohorts.get("differences") or () if row["differ"]]
    return found + [_bias(row) for row in cohorts.get("bias") or () if row.get("warning")]


def _difference(row: Json, rule: str) -> Alarm:
    first, second = row["cohorts"]
    pooled = rule == "pooled"
    return Alarm(
        tone="notice",
        title=f"Cohorts {first} and {second} differ",
        seen=f"Of {row['shared_items']} pairs that both judged, they are sure to differ on {row['items_that_differ']}. "
        "That is disagreement, not error.",
        strength=f"Chance of as much if labels meant nothing: {chance(row['p_corrected'])}, corrected for all pairs.",
        act="Decide whose answer a label follows." if pooled else f"Labels follow the rule {rule}.",
        commands=("backstay run aggregate.cohort_rule=per_cohort",) if pooled else (),
    )


def _bias(row: Json) -> Alarm:
    weight = row["relative_weight"]
    interval = f"{weight['value']:.2f} ({weight['low']:.2f} to {weight['high']:.2f})"
    return Alarm(
        tone="alarm",
        title=f"Cohort {row['cohort']} counts for too little",
        seen=f"{row['raters']} raters, {count(row['votes'])} votes: {row['warning']}.",
        strength=f"Weight over what gold explains, relative to the others: {interval}.",
        act="See whether they are discounted as a bloc, and whether the gold items mean the same to them.",
    )


def _unverified(trust: Sequence[Json], names: Mapping[str, str]) -> list[Alarm]:
    who = raters_with(trust, names, lambda note: note.startswith("unverified"))
    if not who:
        return []
    seen = "No gold item and no second voice on what they judged."
    act = "Give them gold items, or items that others judge too."
    return [Alarm(tone="notice", title=f"{len(who)} {rater_noun(who)} unverified", seen=seen, act=act, who=who)]


def _warnings(aggregate: Json) -> list[Alarm]:
    """What the aggregation warned of, but for the topics, which have an alarm of their own."""
    said = [str(line) for line in aggregate.get("warnings") or () if not str(line).startswith(TOLD_BY_TOPIC)]
    return [_warning(line) for line in said]


def _warning(line: str) -> Alarm:
    """A warning reads `what: why; what to do`, of which the later parts may be missing."""
    what, _, rest = line.partition(": ")
    why, _, act = rest.partition("; ")
    return Alarm(tone="alarm", title=_sentence(what).rstrip("."), seen=_sentence(why), act=_sentence(act))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
