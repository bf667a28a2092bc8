"""The screening section: what was kept, why the rest was set aside, and what the checks found in all texts together."""

from collections.abc import Mapping
from typing import Any

from backstay.report.data import ReportData
from backstay.report.raters import rater_name
from backstay.report.screening_alarms import screening_alarms
from backstay.report.wording import words

Json = Mapping[str, Any]
Section = dict[str, Any]
LISTED = 12
"""Raters and sources in a table, and releases in the list."""

TABLES = {"by_rater": "Raters", "by_response_source": "Sources of responses", "by_prompt_source": "Sources of prompts"}


def screening(data: ReportData) -> Section | None:
    """How many pairs were kept and why the others were not; None when nothing was screened."""
    if data.screen is None:
        return None
    reasons = _reasons(data.screen)
    most = max(reasons.values(), default=0)
    names = {str(rater["id"]): rater_name(rater) for rater in data.raters}
    return {
        **{key: data.screen.get(key) for key in ("accepted", "quarantined", "released", "pairs")},
        "alarms": screening_alarms(data.screen, names),
        "simulated": any(rater.get("simulated") for rater in data.raters),
        "budget": data.screen.get("budget"),
        "releases": (data.screen.get("budget") or {}).get("releases", ())[:LISTED],
        "tables": _tables(data.screen, names),
        "accuracy": (data.reward or {}).get("heldout"),
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


def _tables(screen: Json, names: Mapping[str, str]) -> list[Section]:
    """Who stands behind quarantined pairs, the most certain first; only where there is somebody to compare with."""
    return [
        {
            "title": title,
            "rows": [{**row, "name": names.get(str(row["name"]), str(row["name"]))} for row in rows[:LISTED]],
            "more": max(0, len(rows) - LISTED),
        }
        for key, title in TABLES.items()
        if len(rows := screen.get(key) or ()) > 1 and any(row["quarantined"] for row in rows)
    ]


def _reasons(screen: Json) -> dict[str, int]:
    found = screen.get("by_reason") or {}
    return {str(reason): int(number) for reason, number in found.items() if isinstance(number, int)}
