"""Taking the last answer back: a retraction beside the judgment, and the same task once more.

Undoing under the same key again is answered as before: a browser that lost the answer takes no second judgment back.
"""

import json
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from backstay.feedback.collection.choosing import Pick
from backstay.feedback.collection.item_tasks import with_tasks
from backstay.feedback.collection.items import find_item
from backstay.feedback.collection.leasing import Assignment, find_assignment, lease, release, settle
from backstay.feedback.collection.project import Project
from backstay.feedback.collection.raters import stats_of
from backstay.feedback.collection.rejection import Rejected
from backstay.feedback.collection.submission import Submission, iso_time
from backstay.feedback.collection.submitting import count_answer, count_gold, taken_answer
from backstay.feedback.collection.tally import Vote, count_vote
from backstay.records import Retraction, uuid7
from backstay.storage.console_tables import assignments, drafts
from backstay.storage.unit import Unit


class Undone(NamedTuple):
    """The task once more, and what had been said of it; `is_new` is false where it had been undone before."""

    assignment: Assignment
    answer: Submission
    is_new: bool = True


def undo(unit: Unit, project: Project, rater_id: str, key: str = "") -> Undone:
    """Retract the rater's last judgment, once for each key but the empty one.

    Raises Rejected where there is none, or where its time is over.
    """
    before = _undone_before(unit.connection, project.id, rater_id, key) if key else None
    if before is not None:
        return before
    last, stats = last_judged(unit.connection, project.id, rater_id), stats_of(unit.connection, project.id, rater_id)
    settled_ms = (last.settled_at_ms or 0) if last else 0
    if last is None or unit.now_ms - settled_ms > 1000 * project.settings.undo_s:
        raise Rejected("nothing_to_undo", "there is no judgment that can still be taken back")
    if project.status == "closed" or stats is None or stats.status != "active":
        raise Rejected("closed" if project.status == "closed" else "paused", "nothing more is taken here")
    item = find_item(unit.connection, project.id, last.item_id)
    # A gold item may have been settled long ago: a refusal would tell it.
    if item is None or (item.state == "settled" and last.purpose == "vote"):
        raise Rejected("nothing_to_undo", "the item has been settled since", cure="tell the project's lead")
    answer = taken_answer(last)
    _retract(unit, project, last)
    retracted = settle(unit.connection, last, state="retracted")
    if last.purpose != "consistency":
        item = count_vote(unit.connection, project, item, Vote(rater_id, answer["labels"], *answer["beta"]), -1)
        count_gold(unit.connection, item, answer["gold"], -1)
    count_answer(unit, stats._replace(retracted=stats.retracted + 1), answer, -1, settled_ms)
    _give_back_open(unit, project, rater_id)
    # Shown as before, so that the answer still fits its places.
    pick = Pick(item.id, last.purpose, last.strategy, last.propensity)
    again = lease(unit, project, rater_id, with_tasks(unit, project, item), pick, last.order_shown)
    settle(unit.connection, retracted, undo_key=key or None, undone_as=again.id)
    return Undone(again, _given(last))


def last_judged(connection: Connection, project_id: str, rater_id: str) -> Assignment | None:
    """The rater's last assignment that has an answer which stands."""
    where = (
        (assignments.c.project == project_id) & (assignments.c.rater_id == rater_id) & (assignments.c.state == "judged")
    )
    query = (
        select(assignments.c.id)
        .where(where)
        .order_by(assignments.c.settled_at_ms.desc(), assignments.c.id.desc())
        .limit(1)
    )
    found = connection.execute(query).scalar()
    return None if found is None else find_assignment(connection, found)


def _undone_before(connection: Connection, project_id: str, rater_id: str, key: str) -> Undone | None:
    """What an undo under this key gave; its task stands as it does now."""
    mine = (assignments.c.project == project_id) & (assignments.c.rater_id == rater_id)
    found = connection.execute(select(assignments.c.id).where(mine, assignments.c.undo_key == key)).scalar()
    retracted = None if found is None else find_assignment(connection, found)
    again = None if retracted is None else find_assignment(connection, retracted.undone_as or "")
    return None if retracted is None or again is None else Undone(again, _given(retracted), is_new=False)


def _given(retracted: Assignment) -> Submission:
    return Submission.model_validate_json(json.dumps(taken_answer(retracted)["given"]))


def _retract(unit: Unit, project: Project, last: Assignment) -> None:
    at = iso_time(unit.now_ms)
    ids: list[str] = json.loads(last.judgment_ids or "[]")
    records = [Retraction(id=uuid7(), judgment_id=found, rater_id=last.rater_id, created_at=at) for found in ids]
    unit.batch.append_retractions(project.dataset, records)
    where = (drafts.c.project == project.id) & (drafts.c.rater_id == last.rater_id)
    # A prompt may have been asked more than once: its draft is the one of the same moment.
    same = (drafts.c.prompt_id == last.prompt_id) & (drafts.c.at_ms == last.settled_at_ms)
    own = where & same & (drafts.c.state == "waiting")
    unit.connection.execute(update(drafts).where(own).values(state="withdrawn"))


def _give_back_open(unit: Unit, project: Project, rater_id: str) -> None:
    """The task that was waiting goes back, unseen as it counts, so that the rater has one at a time."""
    where = (
        (assignments.c.project == project.id) & (assignments.c.rater_id == rater_id) & (assignments.c.state == "open")
    )
    for found in list(unit.connection.execute(select(assignments.c.id).where(where)).scalars()):
        held = find_assignment(unit.connection, found)
        if held is not None:
            release(unit.connection, held, "expired", unit.now_ms)
