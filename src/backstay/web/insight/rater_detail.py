"""One rater: trust over time, pace, days, alarms and the last judgments."""

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from backstay.feedback.collection import Project, Rejected, stats_of
from backstay.feedback.collection.raters import day_text
from backstay.feedback.collection.submission import iso_time
from backstay.records import Prompt, Response
from backstay.storage.console_tables import assignments, rater_days, trust_history
from backstay.storage.console_tables import items as item_table
from backstay.storage.tables import prompts, raters, responses
from backstay.web.insight.raters_table import RaterRow, names_of, rows_of, shown_at_once
from backstay.web.rendering import render
from backstay.web.trust import TrustRun

MOST_HISTORY, MOST_DAYS, MOST_JUDGMENTS = 200, 120, 10

Json = dict[str, Any]


class RaterDetail(NamedTuple):
    """What stands about a rater; `history` and `days` begin with the oldest, `judgments` with the newest."""

    row: RaterRow
    history: list[tuple[str, float, float, float, int]]
    days: list[tuple[str, int, int]]
    cohort: dict[str, str]
    alarms: list[Json]
    judgments: list[Json]


def rater_detail(
    connection: Connection, project: Project, rater_id: str, run: TrustRun | None, leans: str | None = None
) -> RaterDetail:
    """Read it; raises Rejected where there is no such rater. `leans` is the flag that stands in the table of all."""
    stats = stats_of(connection, project.id, rater_id)
    if stats is None:
        raise Rejected("not_found", f"there is no rater {rater_id[:60]!r} in this project")
    findings = run.findings if run else {}
    (row,) = rows_of(
        [stats], names_of(connection, project), shown_at_once(connection, project.id), findings.get("notes", {})
    )
    if leans is not None:
        row = row._replace(leans=leans)  # type: ignore[arg-type]  # one of the three words, from the same table
    record = connection.execute(
        select(raters.c.record).where(raters.c.dataset == project.dataset, raters.c.id == rater_id)
    ).scalar()
    return RaterDetail(
        row=row,
        history=_history(connection, project.id, rater_id),
        days=_days(connection, project.id, rater_id),
        cohort=json.loads(record).get("cohort", {}) if record else {},
        alarms=[alarm for alarm in findings.get("alarms", []) if rater_id in alarm["raters"]],
        judgments=_judgments(connection, project, rater_id),
    )


def pace_classes(pace: dict[str, int]) -> list[tuple[str, int]]:
    """Judgments by time taken, in halves of a doubling of seconds, from the shortest to the longest that occurs."""
    if not pace:
        return []
    halves: dict[int, int] = {}
    for step, count in pace.items():
        halves[int(step) // 2] = halves.get(int(step) // 2, 0) + count
    return [(f"{_seconds(half)} s", halves.get(half, 0)) for half in range(min(halves), max(halves) + 1)]


def detail_json(found: RaterDetail) -> Json:
    """What the API says beside the row."""
    return {
        "history": [
            {"at": at, "trust": value, "low": low, "high": high, "judged": judged}
            for at, value, low, high, judged in found.history
        ],
        "days": [{"day": day, "judged": judged, "worked_ms": worked} for day, judged, worked in found.days],
        "cohort": found.cohort,
        "alarms": [{name: alarm[name] for name in ("kind", "tone", "title", "text", "size")} for alarm in found.alarms],
        "pace": [{"from": name, "judged": count} for name, count in pace_classes(dict(found.row.stats.pace))],
    }


def _seconds(half: int) -> str:
    seconds = 2.0 ** (half / 2) / 1000
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}"


def _history(connection: Connection, project_id: str, rater_id: str) -> list[tuple[str, float, float, float, int]]:
    where = (trust_history.c.project == project_id) & (trust_history.c.rater_id == rater_id)
    query = select(trust_history).where(where).order_by(trust_history.c.at_ms.desc()).limit(MOST_HISTORY)
    rows = connection.execute(query).all()
    return [(iso_time(row.at_ms), row.trust, row.low, row.high, row.judged) for row in reversed(rows)]


def _days(connection: Connection, project_id: str, rater_id: str) -> list[tuple[str, int, int]]:
    where = (rater_days.c.project == project_id) & (rater_days.c.rater_id == rater_id)
    query = select(rater_days).where(where).order_by(rater_days.c.day.desc()).limit(MOST_DAYS)
    return [(day_text(row.day), row.judged, row.worked_ms) for row in reversed(connection.execute(query).all())]


def _judgments(connection: Connection, project: Project, rater_id: str) -> list[Json]:
    where = (
        (assignments.c.project == project.id)
        & (assignments.c.rater_id == rater_id)
        & assignments.c.settled_at_ms.is_not(None)
        & assignments.c.state.in_(("judged", "skipped", "retracted"))
    )
    query = (
        select(assignments, item_table.c.response_ids)
        .join(item_table, (item_table.c.project == assignments.c.project) & (item_table.c.id == assignments.c.item_id))
        .where(where)
        .order_by(assignments.c.settled_at_ms.desc())
        .limit(MOST_JUDGMENTS)
    )
    return [_judgment(connection, project.dataset, row) for row in connection.execute(query).all()]


def _judgment(connection: Connection, dataset: str, row: Any) -> Json:
    answer, order, ids = json.loads(row.answer or "{}"), json.loads(row.order_shown), json.loads(row.response_ids)
    record = connection.execute(
        select(prompts.c.record).where(prompts.c.dataset == dataset, prompts.c.id == row.prompt_id)
    ).scalar_one()
    query = select(responses.c.id, responses.c.record).where(responses.c.dataset == dataset, responses.c.id.in_(ids))
    texts = {found.id: Response.from_json(found.record).text for found in connection.execute(query)}
    labels = answer.get("labels", {})
    return {
        "at": iso_time(row.settled_at_ms),
        "state": row.state,
        "purpose": row.purpose,
        "seconds": round(answer.get("duration_ms", 0) / 1000, 1),
        "prompt": [{"role": m.role, "html": render(m.content)} for m in Prompt.from_json(record).messages],
        "responses": [{"letter": "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[n % 26], "html": render(texts[ids[index]])}
                      for n, index in enumerate(order)],
        "said": {name: said(label, order) for name, label in labels.items()},
        "gold": answer.get("gold", {}),
        "reason": answer.get("reason", ""),
        "rationale": answer.get("given", {}).get("rationale", ""),
    }  # fmt: skip


def said(label: str, order: list[int]) -> str:
    """An answer in the letters of the places where the responses were shown."""
    if label in ("tie", "bad"):
        return {"tie": "all equal", "bad": "all bad"}[label]
    letters = {index: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[place % 26] for place, index in enumerate(order)}
    groups = [" = ".join(letters[int(index)] for index in group.split("=")) for group in label.split(">")]
    return " better than ".join(groups)
