"""Whom to believe, computed in a process of its own, so that raters never wait for it.

Reads `{"database", "project"}` from standard input and writes the findings to standard output, both as JSON. Up to
`FULL` judgments it is the whole aggregation, shared rationales, clients and times among the signs. Beyond that it reads
only who voted what, in what order, so that the memory stays at some 200 bytes a judgment; the findings say so.
"""

import json
import resource
import sys
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, func, select

from backstay.aggregate import AggregateSettings, collect_votes, fit_columns
from backstay.aggregate.fitted import Fitted, Topics, fit_votes, in_general
from backstay.aggregate.rater_reports import notes_in_general, rater_trust
from backstay.aggregate.shifts import find_shifts
from backstay.aggregate.trust import groups_of, known_of, own_voice, trust_posterior
from backstay.aggregate.voices import Voices, voices_by
from backstay.aggregate.votes import Floats, tally
from backstay.errors import BackstayError, UsageError
from backstay.feedback.collection import Project, project_of
from backstay.records import Judgment, Rater, RaterTrust, Task
from backstay.storage.engine import open_database
from backstay.storage.tables import judgments, raters
from backstay.web.insight.alarms import Alarm, alarms_of
from backstay.web.insight.cohort_audit import audit_cohorts
from backstay.web.trust_columns import ProjectVotes, each_item, read_project, settled_gold, standing

FULL = 200_000
"""Judgments of a data set up to which everything that is known of them is read."""

SETTINGS = AggregateSettings(folds=0, max_topics=0, bloc_simulations=19)


class Found(NamedTuple):
    """What a run of aggregation found; `general` has one voice a rater."""

    method: str
    trust: list[RaterTrust]
    general: Fitted
    rater_ids: tuple[str, ...]
    alarms: list[Alarm]


def findings(connection: Connection, project: Project, full: int = FULL) -> dict[str, Any]:
    """Trust by rater, alarms, and the audit of cohorts, as JSON data; raises UsageError where nothing was judged."""
    where = judgments.c.dataset == project.dataset
    count = int(connection.execute(select(func.count()).select_from(judgments).where(where)).scalar_one())
    found = _whole(connection, project) if count <= full else _columns(connection, project)
    if not found.trust:
        raise UsageError(f"nobody has judged anything in project {project.id!r} yet")
    query = select(raters.c.record).where(raters.c.dataset == project.dataset)
    people = [Rater.from_json(record) for record in connection.execute(query).scalars()]
    trust = np.array([row.trust for row in found.trust])
    return {
        "method": found.method,
        "judged": sum(row.n_judgments for row in found.trust),
        "raters": [row.payload() for row in found.trust],
        "alarms": [alarm._asdict() for alarm in found.alarms],
        "cohorts": audit_cohorts(found.general, found.rater_ids, people, trust, differences=found.method == "full"),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _whole(connection: Connection, project: Project) -> Found:
    gold, asked = settled_gold(connection, project), list[Task]()
    for row in each_item(connection, project.id):
        for name, task_id in json.loads(row.task_ids).items():
            if name in project.settings.dimensions:
                best, responses = gold.get((row.id, name)), tuple(json.loads(row.response_ids))
                task = Task(id=task_id, prompt_id=row.prompt_id, response_ids=responses, dimension=name, gold=best)
                asked.append(task)
    known = {task.id for task in asked}
    records = (Judgment.from_json(text) for _, task_id, _, text in standing(connection, project.dataset)
               if task_id in known)  # fmt: skip
    votes = collect_votes(asked, (judgment for judgment in records if judgment.purpose == "vote"))
    if not votes.n_raters:
        return _nobody("full")
    fitted = fit_votes(votes, np.zeros(votes.n_items, dtype=np.bool_), {}, SETTINGS)
    trust, general = rater_trust(votes, fitted), in_general(fitted)
    when = {shift.rater: votes.times[votes.time[shift.first]] for shift in fitted.shifts}
    return Found("full", trust, general, votes.rater_ids, alarms_of(general, trust, votes.rater_ids, when))


def _columns(connection: Connection, project: Project) -> Found:
    votes = read_project(connection, project)
    if not votes.rater_ids:
        return _nobody("columns")
    columns, voices = votes.columns, Voices.one_each(votes.columns.n_raters)
    if len(votes.dimensions) > 1:
        columns, voices = voices_by(columns, votes.dimension, votes.dimensions)
    fit = fit_columns(columns, SETTINGS, voices)
    known, groups = known_of(columns, fit, SETTINGS), groups_of(columns, fit)
    general = in_general(Fitted(columns, fit, known, groups, Topics((), np.zeros(0, dtype=np.int32)), SETTINGS))
    shifts = find_shifts(general.columns, general.fit, general.known, votes.seq, SETTINGS.shift_level)
    when = {shift.rater: _moment(connection, int(votes.seq[shift.first])) for shift in shifts}
    trust = _trust(votes, general)
    return Found("columns", trust, general, votes.rater_ids, alarms_of(general, trust, votes.rater_ids, when))


def _trust(votes: ProjectVotes, general: Fitted) -> list[RaterTrust]:
    columns, size = votes.columns, len(votes.rater_ids)
    posterior = trust_posterior(general.columns, general.fit, general.known, SETTINGS)
    own, notes = own_voice(general.groups, size), notes_in_general(general, posterior)
    gold, rater = columns.gold[columns.item], columns.rater.astype(np.int64)
    seen, right = tally(rater, gold != 0, size), tally(rater, (gold != 0) & (columns.side == gold), size)
    weight: Floats = tally(rater, general.fit.evidence * columns.side, size) / np.maximum(votes.judged, 1)
    return [
        RaterTrust(
            rater_id=rater_id,
            trust=float(own[r] * posterior.mean[r]),
            low=float(own[r] * posterior.low[r]),
            high=float(own[r] * posterior.high[r]),
            n_judgments=int(votes.judged[r]),
            gold_seen=int(seen[r]),
            gold_right=int(right[r]),
            weight=float(weight[r]),
            notes=tuple(notes[r]),
        )
        for r, rater_id in enumerate(votes.rater_ids)
    ]


def _moment(connection: Connection, seq: int) -> str:
    record = connection.execute(select(judgments.c.record).where(judgments.c.seq == seq)).scalar_one()
    return str(json.loads(record)["created_at"])


def _nobody(method: str) -> Found:
    nothing: Any = None  # Never read: there is no trust to go with it.
    return Found(method, [], nothing, (), [])


def main() -> int:
    """The process: 0 with findings, 3 with `{"problem"}` for an error that its message explains."""
    asked = json.load(sys.stdin)
    try:
        engine = open_database(asked["database"])
        try:
            with engine.connect() as connection:
                told = findings(connection, project_of(connection, asked["project"]), asked.get("full", FULL))
        finally:
            engine.dispose()
    except BackstayError as error:
        json.dump({"problem": error.message}, sys.stdout)
        return 3
    json.dump(told, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
