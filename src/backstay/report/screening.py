"""The screening section: what was kept, why the rest was set aside, and what the checks found in all texts together."""

from collections.abc import Mapping
from typing import Any

from backstay.report.alarms import Alarm
from backstay.report.data import ReportData
from backstay.report.wording import percent, signed, words

Json = Mapping[str, Any]
Section = dict[str, Any]
SHOWN_PHRASES = 8
WENT = {"chosen": "is chosen", "rejected": "is rejected", "prompt": "has a label that a reward contradicts"}


def screening(data: ReportData) -> Section | None:
    """How many pairs were kept and why the others were not; None when nothing was screened."""
    if data.screen is None:
        return None
    reasons = _reasons(data.screen)
    most = max(reasons.values(), default=0)
    return {
        **{key: data.screen.get(key) for key in ("accepted", "quarantined", "released", "pairs")},
        "alarms": screening_alarms(data.screen),
        "reasons": [
            {
                "scanner": words(reason.rpartition("/")[0]),
                "reason": words(reason.rpartition("/")[2]),
                "count": number,
                "width": round(100.0 * number / most, 1),
            }
            for reason, number in sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))
            if number
        ],
    }


def screening_alarms(screen: Json) -> list[Alarm]:
    """What screening found that a person should act on: planted phrases, flipped labels, an odd source or group."""
    return [
        *_triggers(screen.get("triggers") or {}),
        *_flipped(screen.get("label_noise") or {}),
        *_odd_parts(screen.get("associations") or {}),
    ]


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


def _reasons(screen: Json) -> dict[str, int]:
    found = screen.get("by_reason") or {}
    return {str(reason): int(number) for reason, number in found.items() if isinstance(number, int)}
