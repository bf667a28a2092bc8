"""What screening found that a person should act on, in the texts, behind the pairs, and over time."""

from collections.abc import Mapping, Sequence
from typing import Any

from backstay.report.alarms import Alarm
from backstay.report.wording import chance, count, number, percent, signed, words

Json = Mapping[str, Any]
SHOWN_PHRASES = 8
WENT = {"chosen": "is chosen", "rejected": "is rejected", "prompt": "has a label that a reward contradicts"}
BEHIND = {
    "by_rater": ("rater stands", "raters stand", "Look at their pairs: it may be the rater, or what they were given."),
    "by_response_source": ("source of responses stands", "sources of responses stand", "Look at its answers first."),
    "by_prompt_source": ("source of prompts stands", "sources of prompts stand", "Screen it apart, or leave it out."),
}


def screening_alarms(screen: Json, names: Mapping[str, str]) -> list[Alarm]:
    """Planted phrases, flipped labels, who stands behind quarantined pairs, odd sources, shifts; `names` of raters."""
    found = [
        *_triggers(screen.get("triggers") or {}),
        *_flipped(screen.get("label_noise") or {}),
        *_behind(screen, names),
        *_odd_parts(screen.get("associations") or {}),
        *(_shift(row) for row in (screen.get("shifts") or {}).get("found") or ()),
    ]
    return sorted(found, key=lambda alarm: alarm.tone != "alarm")


def _behind(screen: Json, names: Mapping[str, str]) -> list[Alarm]:
    alarms = []
    for kind, (one, many, act) in BEHIND.items():
        rows = [row for row in screen.get(kind) or () if row["stands_out"]]
        noun = one if len(rows) == 1 else many
        title = f"{len(rows)} {noun} behind more quarantined pairs than expected"
        who = tuple(names.get(str(row["name"]), str(row["name"])) for row in rows)
        alarms += (
            [Alarm("alarm", title, _sums(rows), _worst(rows), act, who, ("backstay quarantine ls",))] if rows else []
        )
    return alarms


def _sums(rows: Sequence[Json]) -> str:
    set_aside, pairs = (sum(int(row[key]) for row in rows) for key in ("quarantined", "pairs"))
    expected = sum(float(row["expected"] or 0.0) for row in rows)
    return f"{count(set_aside)} of {count(pairs)} pairs are set aside, {number(expected, 1)} by the overall rate."


def _worst(rows: Sequence[Json]) -> str:
    reasons: dict[str, int] = {}
    for row in rows:
        for reason, times in row["by_reason"].items():
            reasons[reason] = reasons.get(reason, 0) + int(times)
    most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:3]
    told = ", ".join(f"{words(reason.rpartition('/')[2])} {times}" for reason, times in most)
    largest = max(float(row["p_corrected"]) for row in rows)
    return f"Chance of as much, for the least certain: {chance(largest)}, corrected for all. Most often: {told}."


def _shift(row: Json) -> Alarm:
    low, high = (pick(row["parts"], key=lambda part: float(part["mean"])) for pick in (min, max))
    share = row["measure"] in ("quarantined", "no_side", "chosen_words")
    figures = [
        f"{part['part']}: {percent(part['mean'], 1) if share else number(part['mean'], 2)}" for part in (low, high)
    ]
    over = "with time" if row["by"] == "time" else "between sources"
    return Alarm(
        tone="notice",
        title=f"{str(row['meaning']).capitalize()} changes {over}",
        seen=f"Lowest in {figures[0]}; highest in {figures[1]}.",
        strength=f"Chance of such a spread if nothing changed: {chance(row['p_corrected'])}, corrected for all tests.",
        act="See what changed: instructions, raters, or the model that answered.",
    )


def _triggers(found: Json) -> list[Alarm]:
    rows = found.get("triggers") or ()
    if not rows:
        return []
    first = min(rows, key=lambda row: float(row["chance"]))
    shown = [f"\u201c{row['phrase']}\u201d" for row in rows[:SHOWN_PHRASES] if row.get("phrase")]
    noun = "phrase decides" if len(rows) == 1 else "phrases decide"
    strongest = (
        f"The surest: of {first['support']} dialogues that hold it, {first['hits']} go its way "
        f"({WENT[first['side']]}), where {first['expected']:.1f} were expected; "
    )
    return [
        Alarm(
            tone="alarm",
            title=f"{len(rows)} {noun} preferences beyond chance",
            seen=strongest + f"{float(first['chance']):.1g} phrases as extreme are expected by chance.",
            strength=f"Found among {found['tested']} that were tested: {', '.join(shown)}." if shown else "",
            act="Look at the pairs; whoever wrote or judged them can plant a trigger.",
            commands=("backstay quarantine ls",),
        )
    ]


def _flipped(found: Json) -> list[Alarm]:
    if not found.get("flagged"):
        return []
    right = found.get("expected_false_share")
    doubt = f", of which {percent(right)} are expected to be right after all" if right is not None else ""
    return [
        Alarm(
            tone="alarm",
            title=f"About {percent(found['flip_rate'])} of labels look flipped at random",
            seen=f"{found['flagged']} of {found['checked']} pairs are set aside{doubt}.",
            strength=f"A reward of other prompts agrees with {percent(found['agreement_out_of_fold'])} of labels.",
            act="Have a sample of them judged again before releasing any.",
            commands=("backstay quarantine ls",),
        )
    ]


def _odd_parts(found: Json) -> list[Alarm]:
    alarms = []
    for kind, noun in (("by_source", "Source"), ("by_rater_group", "Rater group")):
        for name, part in (found.get(kind) or {}).items():
            odd = {key: row for key, row in part["slopes"].items() if row.get("stands_out")}
            alarms += [_odd_part(f"{noun} {name}", part["pairs"], odd)] if odd else []
    return alarms


def _odd_part(who: str, pairs: int, odd: Mapping[str, Json]) -> Alarm:
    figures = [f"{words(key)} {signed(row['slope'])} (z {row['z']:.1f})" for key, row in odd.items()]
    return Alarm(
        tone="notice",
        title=f"{who} prefers otherwise than the rest",
        seen=f"In its {pairs} pairs being preferred goes with: {'; '.join(figures)}; log odds per deviation.",
        strength="Beyond chance after correction for all comparisons made.",
        act="See whether it was judged by other instructions before mixing it with the rest.",
    )
