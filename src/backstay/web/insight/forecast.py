"""What a wanted certainty still costs in votes, hours and money, from a sample of a project's open items.

The simulation is `feedback.selection.certainty_cost`. Past votes count with their raters' mean trust, since items keep
answers by number and not by rater.
"""

import json
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, func, select

from backstay.errors import UsageError
from backstay.feedback.collection import Project, RaterStats, all_stats, project_of
from backstay.feedback.selection.belief import FIRST, SECOND, TIE, Ties, Trust, prior_belief, vote_evidence
from backstay.feedback.selection.certainty_cost import Forecast, Team, certainty_cost
from backstay.feedback.selection.stopping import Ballots, StoppingRule
from backstay.storage.console_tables import items
from backstay.web.insight.raters_table import shown_at_once

SAMPLE = 400
"""Open items that are read, evenly from the most to the least uncertain."""

DRAWS = 60
RATERS = 100
"""Raters who are expected to go on: those who judged most lately."""

LETTERS = {"0>1": FIRST, "1>0": SECOND, "tie": TIE, "bad": TIE}
Json = dict[str, Any]


class ProjectForecast(NamedTuple):
    """The forecast; `open_items` all want a vote, `sampled` of them were looked at. `days` is at the present pace."""

    certainty: float
    most_votes: int
    open_items: int
    sampled: int
    judgments: Forecast
    hours: Forecast
    money: Forecast | None
    certain: Forecast


def forecast_of(
    connection: Connection, project_id: str, certainty: float | None = None, most_votes: int | None = None
) -> ProjectForecast:
    """Forecast for a project of pairs; raises UsageError where there is nobody to vote, or for rankings."""
    project = project_of(connection, project_id)
    rule = rule_of(project, certainty, most_votes)
    if shown_at_once(connection, project_id) != 2:
        raise UsageError("costs are forecast for pairs only", cure="plan rankings by the votes that they want")
    where = (items.c.project == project_id) & (items.c.state == "open")
    count = int(connection.execute(select(func.count()).where(where)).scalar_one())
    if not count:
        none = Forecast(0.0, 0.0, 0.0)
        return ProjectForecast(rule.certainty, rule.most, 0, 0, none, none, none if _paid(project) else None, none)
    team, mean = team_of(project, all_stats(connection, project_id))
    counted = _sampled(connection, project_id, -(-count // SAMPLE))
    ballots = _ballots(counted, project.settings.dimensions[0], mean)
    prior = prior_belief(np.zeros(len(counted)), Ties())
    found = certainty_cost(prior, ballots, team, Ties(), rule, np.random.default_rng(0), DRAWS)
    scale = count / len(counted)
    return ProjectForecast(
        rule.certainty,
        rule.most,
        count,
        len(counted),
        _scaled(found.judgments, scale),
        _scaled(found.hours, scale),
        _scaled(found.money, scale) if _paid(project) else None,
        found.certain,
    )


def _sampled(connection: Connection, project_id: str, every: int) -> list[Json]:
    """Votes by answer of each `every`-th open item."""
    order = (items.c.priority.desc(), items.c.place.desc())
    numbered = (
        select(items.c.counts, func.row_number().over(order_by=order).label("number"))
        .where(items.c.project == project_id, items.c.state == "open")
        .subquery()
    )
    query = select(numbered.c.counts).where(numbered.c.number % every == 0)
    found = connection.execute(query).scalars().all() or connection.execute(select(numbered.c.counts)).scalars().all()
    return [json.loads(text) for text in found]


def rule_of(project: Project, certainty: float | None, most_votes: int | None) -> StoppingRule:
    """The project's rule, or one that is asked for."""
    settings = project.settings
    most = most_votes or settings.most_votes
    least = min(settings.votes, most)
    return StoppingRule(certainty or settings.certainty, least, most, min(2, most))


def team_of(project: Project, stats: list[RaterStats]) -> tuple[Team, float]:
    """Those who are expected to go on, in proportion to what they did; and the mean trust of a vote so far."""
    active = [row for row in stats if row.status == "active" and row.judged > 0 and row.median_ms]
    active = sorted(active, key=lambda row: -row.last_at_ms)[:RATERS]
    if not active:
        raise UsageError("nobody active has judged anything yet", cure="wait for the first judgments")
    share = np.array([row.judged for row in active], dtype=np.float64)
    trust = np.clip([row.trust for row in active], 0.02, 0.98)
    size = np.array([_strength(row) for row in active])
    per_hour = np.array([3_600_000.0 / (row.median_ms or 1.0) for row in active])
    settings = project.settings
    team = Team(
        Trust(trust * size, (1.0 - trust) * size),
        np.arange(len(active), dtype=np.int64),
        share / share.sum(),
        per_hour,
        checks=settings.gold_share + settings.repeat_share,
        price_per_hour=settings.pay_per_hour,
    )
    return team, float(share @ trust / share.sum())


def forecast_json(found: ProjectForecast) -> Json:
    """A forecast as JSON data."""
    return {
        "certainty": found.certainty,
        "most_votes": found.most_votes,
        "open_items": found.open_items,
        "sampled": found.sampled,
        "judgments": _json(found.judgments),
        "hours": _json(found.hours),
        "money": None if found.money is None else _json(found.money),
        "certain": _json(found.certain),
    }


def _strength(row: RaterStats) -> float:
    """Judgments that the interval of a rater's trust is worth: that of a Beta with this mean and spread."""
    spread = max(1e-3, (row.trust_high - row.trust_low) / 3.92)
    mean = min(0.98, max(0.02, row.trust))
    return float(np.clip(mean * (1.0 - mean) / spread**2 - 1.0, 2.0, 1000.0))


def _ballots(counted: list[Json], dimension: str, trust: float) -> Ballots:
    item, answer = [], []
    for place, counts in enumerate(counted):
        for label, n in counts.get(dimension, {}).items():
            item += [place] * n
            answer += [LETTERS[label]] * n
    told = np.array(answer, dtype=np.int64)
    mean = Trust(np.full(told.size, 8.0 * trust), np.full(told.size, 8.0 * (1.0 - trust)))
    evidence = vote_evidence(told, mean, Ties()).reshape(-1, 3)
    return Ballots(np.array(item, dtype=np.int64), RATERS + np.arange(told.size, dtype=np.int64), evidence)


def _paid(project: Project) -> bool:
    return project.settings.pay_per_hour > 0.0


def _scaled(found: Forecast, by: float) -> Forecast:
    return Forecast(found.mean * by, found.low * by, found.high * by)


def _json(found: Forecast) -> Json:
    return {"mean": found.mean, "low": found.low, "high": found.high}
