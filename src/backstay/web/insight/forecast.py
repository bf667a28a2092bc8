"""What a wanted certainty still costs in votes, hours and money, from a sample of a project's open items.

The simulation is `feedback.selection.certainty_cost`, with the stopping rule by which the project itself ends items.
"""

from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, func, select

from backstay.errors import UsageError
from backstay.feedback.collection import Project, RaterStats, all_stats, project_of
from backstay.feedback.collection.certainty import Ballot, Kept, beta_of, ties_of
from backstay.feedback.selection.belief import Ties, Trust, prior_belief, vote_evidence
from backstay.feedback.selection.certainty_cost import Forecast, Team, certainty_cost
from backstay.feedback.selection.stopping import Ballots, StoppingRule
from backstay.storage.console_tables import items
from backstay.web.insight.raters_table import shown_at_once
from backstay.web.insight.sampling import sampled_beliefs

SAMPLE = 400
"""Open items that are read."""

DRAWS = 60
RATERS = 100
"""Raters who are expected to go on: those who judged most lately."""

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
    team = team_of(project, all_stats(connection, project_id))
    counted = sampled_beliefs(connection, project_id, items.c.state == "open", SAMPLE)
    ties = ties_of(project.settings)
    ballots = _ballots(counted, project.settings.dimensions[0], ties)
    prior = prior_belief(np.zeros(len(counted)), ties)
    found = certainty_cost(prior, ballots, team, ties, rule, np.random.default_rng(0), DRAWS)
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


def rule_of(project: Project, certainty: float | None, most_votes: int | None) -> StoppingRule:
    """The project's rule, or one that is asked for."""
    settings = project.settings
    most = most_votes or settings.most_votes
    least = min(settings.votes, most)
    return StoppingRule(certainty or settings.certainty, least, most, min(2, most))


def team_of(project: Project, stats: list[RaterStats]) -> Team:
    """Those who are expected to go on, in proportion to what they did."""
    active = [row for row in stats if row.status == "active" and row.judged > 0 and row.median_ms]
    active = sorted(active, key=lambda row: -row.last_at_ms)[:RATERS]
    if not active:
        raise UsageError("nobody active has judged anything yet", cure="wait for the first judgments")
    share = np.array([row.judged for row in active], dtype=np.float64)
    right, wrong = np.array([beta_of(row) for row in active]).T
    per_hour = np.array([3_600_000.0 / (row.median_ms or 1.0) for row in active])
    settings = project.settings
    return Team(
        Trust(right, wrong),
        np.arange(len(active), dtype=np.int64),
        share / share.sum(),
        per_hour,
        checks=settings.gold_share + settings.repeat_share,
        price_per_hour=settings.pay_per_hour,
    )


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


def _ballots(kept: list[Kept], dimension: str, ties: Ties) -> Ballots:
    """The votes so far; each rater is a voice, numbered beyond those who are to vote."""
    rows = [(place, Ballot(*row)) for place, item in enumerate(kept) for row in item.get(dimension, ())]  # type: ignore[arg-type]  # JSON knows no tuples
    voices = {rater: RATERS + n for n, rater in enumerate(dict.fromkeys(ballot.rater_id for _, ballot in rows))}
    trust = Trust(
        np.array([ballot.right for _, ballot in rows], dtype=np.float64),
        np.array([ballot.wrong for _, ballot in rows], dtype=np.float64),
    )
    answers = np.array([ballot.answer for _, ballot in rows], dtype=np.int64)
    return Ballots(
        np.array([place for place, _ in rows], dtype=np.int64),
        np.array([voices[ballot.rater_id] for _, ballot in rows], dtype=np.int64),
        vote_evidence(answers, trust, ties).reshape(-1, 3),
    )


def _paid(project: Project) -> bool:
    return project.settings.pay_per_hour > 0.0


def _scaled(found: Forecast, by: float) -> Forecast:
    return Forecast(found.mean * by, found.low * by, found.high * by)


def _json(found: Forecast) -> Json:
    return {"mean": found.mean, "low": found.low, "high": found.high}
