"""The raters section: alarms first, then how far raters agree, then the trust of each and what it rests on."""

import re
from collections.abc import Mapping
from typing import Any

from backstay.report import charts
from backstay.report.data import ReportData
from backstay.report.rater_alarms import rater_alarms
from backstay.report.svg import page_colour
from backstay.report.wording import words

Json = Mapping[str, Any]
Section = dict[str, Any]
AGREEMENT = {
    "pairwise": "pairs of votes that are equal",
    "alpha": "Krippendorff's alpha",
    "fleiss_kappa": "Fleiss' kappa",
}
_SIMULATED_NAME = re.compile(r"sim-(?P<kind>[a-z-]+)-(?P<number>\d+) \(simulated\)")


def raters(data: ReportData) -> Section | None:
    """Alarms, agreement, and trust, least first; true kinds only of simulated raters. None without an aggregation."""
    if not data.trust:
        return None
    known = {str(rater["id"]): rater for rater in data.raters}
    rows = sorted(
        (_rater(row, known.get(str(row["rater_id"]), {}), data.meta.rater_kinds) for row in data.trust), key=_by_trust
    )
    shown, aggregate = rows[: data.settings.raters], data.aggregate or {}
    colours = charts.kind_colours([row["kind"] for row in shown])
    return {
        "alarms": rater_alarms(aggregate, rows, {str(row["rater_id"]): row["name"] for row in rows}),
        "looked_for": "blocs" in aggregate,
        "agreement": agreement(aggregate.get("agreement") or {}),
        "flips": flips(aggregate.get("flip_numbers") or {}),
        "chart": charts.trust_chart(shown),
        "legend": [(words(kind), page_colour(colour)) for kind, colour in colours.items() if kind],
        "rows": shown,
        "hidden": len(rows) - len(shown),
        "simulated": any(row["simulated"] for row in rows),
        "checked": _checked(aggregate),
    }


def agreement(found: Json) -> list[Section]:
    """The agreement statistics that are defined, each with its interval and a name for people."""
    return [
        {"name": name, "value": found[key], "low": found.get(f"{key}_low"), "high": found.get(f"{key}_high")}
        for key, name in AGREEMENT.items()
        if found.get(key) is not None
    ]


def flips(found: Json) -> Section | None:
    """How many of the open labels hang on one rater, on two, and on nobody; None where no label is open."""
    by_number = {int(number): int(items) for number, items in (found.get("items_by_flip_number") or {}).items()}
    total = sum(by_number.values()) + int(found.get("never") or 0) + int(found.get("without_a_side") or 0)
    if not total:
        return None
    one, two = by_number.get(1, 0), by_number.get(2, 0)
    return {
        "labels": total,
        "one": one,
        "two": two,
        "more": sum(by_number.values()) - one - two,
        "never": int(found.get("never") or 0),
        "without_a_side": int(found.get("without_a_side") or 0),
        "upper_bounds": int(found.get("upper_bounds_only") or 0),
    }


def rests_on(row: Json) -> str:
    """What the trust in a rater rests on, in a few words."""
    if any(str(note).startswith("unverified") for note in row.get("notes", ())):
        return "nothing"
    return "gold, others" if row.get("gold_seen") else "others"


def rater_name(rater: Json) -> str:
    """What people read: of a simulated rater kind and number, for the page says that it is simulated."""
    name = str(rater.get("display_name") or rater["id"])
    named = _SIMULATED_NAME.match(name)
    return f"{named['kind']} {named['number']}" if rater.get("simulated") and named else name


def _rater(row: Json, rater: Json, kinds: Mapping[str, str]) -> Section:
    simulated = bool(rater.get("simulated"))
    name = str(rater.get("display_name") or row["rater_id"])
    named = _SIMULATED_NAME.match(name)
    kind = kinds.get(str(row["rater_id"])) or (named["kind"] if named else "")
    return {
        **row,
        "name": rater_name(rater) if rater else name,
        "simulated": simulated,
        "kind": kind if simulated else "",
        "notes": [str(note) for note in row.get("notes", ())],
        "rests_on": rests_on(row),
    }


def _checked(aggregate: Json) -> Json | None:
    """Accuracy of both algorithms on held-out gold items, where there were any."""
    checked = aggregate.get("held_out_gold")
    wanted = ("items", "majority_accuracy", "reliability_accuracy")
    if not isinstance(checked, dict) or any(checked.get(key) is None for key in wanted):
        return None
    return checked


def _by_trust(row: Json) -> tuple[float, str]:
    return float(row["trust"]), str(row["rater_id"])
