"""What a rater sees of the own work."""

from typing import NamedTuple

from sqlalchemy import Connection

from backstay.feedback.collection.raters import RaterStats, stats_of, streak_days


class Progress(NamedTuple):
    """Counts of one rater in one project; `per_hour` is at the rater's median pace, None before the first judgment."""

    done_today: int
    done_total: int
    streak_days: int
    per_hour: float | None
    left: int | None
    retracted: int
    skipped: int


def progress_of(connection: Connection, project_id: str, rater_id: str, now_ms: int) -> Progress:
    """The rater's progress; how much is left in the project is not counted for each answer, and None."""
    stats = stats_of(connection, project_id, rater_id)
    return Progress(0, 0, 0, None, None, 0, 0) if stats is None else progress_from(connection, stats, now_ms)


def progress_from(connection: Connection, stats: RaterStats, now_ms: int) -> Progress:
    """The same for a rater whose row is known."""
    today, streak = streak_days(connection, stats.project, stats.rater_id, now_ms)
    median_ms = stats.median_ms
    per_hour = None if median_ms is None else round(3_600_000 / max(1.0, median_ms), 1)
    return Progress(today, stats.judged, streak, per_hour, None, stats.retracted, stats.skipped)
