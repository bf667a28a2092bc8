"""Every rater of a project in one table, from what was counted as the answers came in: no judgment is read for it."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.stats import binom
from sqlalchemy import Connection, select

from backstay.aggregate.multiplicity import discoveries
from backstay.feedback.collection import Project, RaterStats, all_stats
from backstay.feedback.collection.submission import iso_time
from backstay.feedback.selection.repeats import wilson
from backstay.storage.account_tables import accounts
from backstay.storage.console_tables import items
from backstay.storage.tables import raters

FLAG_RATE = 0.05
"""Share of false alarms tolerated among raters who are said to lean to a place."""

Sort = Literal["trust", "name", "judged", "agreement", "gold", "pace", "position", "repeats", "seen"]
Shown = Literal["all", "active", "paused", "requalify", "flagged", "simulated"]
Json = dict[str, Any]


class Portion(NamedTuple):
    """A share of `of` with its 95 % interval; `value` is None where nothing was counted."""

    value: float | None
    low: float
    high: float
    of: int


class RaterRow(NamedTuple):
    """One rater. `leans` is set where the choice follows the place shown beyond chance, corrected for all raters."""

    stats: RaterStats
    name: str
    simulated: bool
    agreement: Portion
    gold: Portion
    first: Portion
    repeats: Portion
    median_s: float | None
    leans: Literal["", "first", "away"]
    notes: tuple[str, ...]

    @property
    def id(self) -> str:
        """The pseudonymous id that records carry."""
        return self.stats.rater_id

    @property
    def flagged(self) -> bool:
        """Whether somebody should look."""
        return bool(self.leans) or any(not note.startswith("not shown") for note in self.notes)


def rater_rows(connection: Connection, project: Project, notes: Mapping[str, Sequence[str]]) -> list[RaterRow]:
    """Every rater of the project, in order of id; `notes` are those of the last aggregation, by rater."""
    stats = all_stats(connection, project.id)
    return rows_of(stats, names_of(connection, project), shown_at_once(connection, project.id), notes)


def rows_of(
    stats: Sequence[RaterStats],
    named: Mapping[str, tuple[str, bool]],
    size: int,
    notes: Mapping[str, Sequence[str]],
) -> list[RaterRow]:
    """Rows from what was counted; `size` is the number of responses shown at once."""
    leans = leanings(stats, size)
    return [
        RaterRow(
            stats=row,
            name=named.get(row.rater_id, (row.rater_id, False))[0],
            simulated=named.get(row.rater_id, ("", False))[1],
            agreement=portion(row.agreed, row.compared),
            gold=portion(row.gold_right, row.gold_seen),
            first=portion(row.chose_first, row.decided),
            repeats=portion(row.repeats_same, row.repeats),
            median_s=None if row.median_ms is None else row.median_ms / 1000.0,
            leans=lean,
            notes=tuple(notes.get(row.rater_id, ())),
        )
        for row, lean in zip(stats, leans, strict=True)
    ]


def leanings(stats: Sequence[RaterStats], size: int) -> list[Literal["", "first", "away"]]:
    """Who chooses the first place more or less often than 1 / `size`: exact binomial tests at a false discovery rate.

    Benjamini & Hochberg 1995 over all raters: of two thousand, a hundred would be flagged by chance otherwise.
    """
    first = np.array([row.chose_first for row in stats], dtype=np.int64)
    of = np.array([row.decided for row in stats], dtype=np.int64)
    low, high = binom.cdf(first, of, 1.0 / size), binom.sf(first - 1, of, 1.0 / size)
    p_value = np.minimum(1.0, 2.0 * np.minimum(low, high))
    found: list[Literal["", "first", "away"]] = [""] * len(stats)
    for place in discoveries(p_value, FLAG_RATE):
        found[place] = "first" if first[place] * size > of[place] else "away"
    return found


def portion(count: int, of: int) -> Portion:
    """`count` of `of` with its interval (Wilson 1927)."""
    found = wilson(count, of)
    return Portion(found.share if of else None, found.low, found.high, of)


def chosen(rows: Sequence[RaterRow], sort: Sort, shown: Shown, text: str, *, down: bool) -> list[RaterRow]:
    """The rows that are asked for, in the order asked for; what has no value comes last."""
    wanted = text.strip().casefold()
    kept = [row for row in rows if _is_shown(row, shown) and wanted in f"{row.name} {row.id}".casefold()]
    key = _KEYS[sort]
    valued = [row for row in kept if key(row) is not None]
    ordered = sorted(valued, key=lambda row: (key(row), row.id), reverse=down)
    return ordered + [row for row in kept if key(row) is None]


def names_of(connection: Connection, project: Project) -> dict[str, tuple[str, bool]]:
    """Display name and whether simulated, by rater id: of the account, else of the record; never an address."""
    query = select(raters.c.id, raters.c.record).where(raters.c.dataset == project.dataset)
    found = {}
    for row in connection.execute(query):
        record = json.loads(row.record)
        found[row.id] = (str(record["display_name"]), bool(record.get("simulated", False)))
    for account in connection.execute(select(accounts.c.rater_id, accounts.c.display_name)):
        if account.rater_id in found:
            found[account.rater_id] = (account.display_name, found[account.rater_id][1])
    return found


def shown_at_once(connection: Connection, project_id: str) -> int:
    """Responses of an item; those of a project are alike."""
    record = connection.execute(select(items.c.response_ids).where(items.c.project == project_id).limit(1)).scalar()
    return max(2, len(json.loads(record))) if record else 2


def row_json(row: RaterRow) -> Json:
    """A row as JSON data."""
    stats = row.stats
    return {
        "rater": stats.rater_id,
        "name": row.name,
        "simulated": row.simulated,
        "status": stats.status,
        "trust": {"value": stats.trust, "low": stats.trust_low, "high": stats.trust_high},
        "trust_at": iso_time(stats.trust_at_ms) if stats.trust_at_ms is not None else None,
        "judged": stats.judged,
        "agreement": portion_json(row.agreement),
        "gold": portion_json(row.gold),
        "chose_first": portion_json(row.first),
        "leans": row.leans,
        "repeats_same": portion_json(row.repeats),
        "median_s": None if row.median_s is None else round(row.median_s, 2),
        "skipped": stats.skipped,
        "retracted": stats.retracted,
        "first_at": iso_time(stats.first_at_ms),
        "last_at": iso_time(stats.last_at_ms),
        "notes": list(row.notes),
    }


def portion_json(found: Portion) -> Json:
    """A share as JSON data."""
    return found._asdict()


def _is_shown(row: RaterRow, shown: Shown) -> bool:
    if shown == "all":
        return True
    if shown == "flagged":
        return row.flagged
    return row.simulated if shown == "simulated" else row.stats.status == shown


def _place_lean(row: RaterRow) -> float | None:
    return None if row.first.value is None else abs(row.first.value - 0.5)


_KEYS: dict[Sort, Callable[[RaterRow], Any]] = {
    "trust": lambda row: row.stats.trust,
    "name": lambda row: row.name.casefold(),
    "judged": lambda row: row.stats.judged,
    "agreement": lambda row: row.agreement.value,
    "gold": lambda row: row.gold.value,
    "pace": lambda row: row.median_s,
    "position": _place_lean,
    "repeats": lambda row: row.repeats.value,
    "seen": lambda row: row.stats.last_at_ms,
}
SORTS: tuple[Sort, ...] = tuple(_KEYS)
