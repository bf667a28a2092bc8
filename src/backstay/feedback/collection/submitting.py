"""Taking an answer: its judgments, what it changes, and the next assignment, in one transaction.

The same submission sent twice is stored once and answered twice the same: a browser that lost the answer may ask again.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, insert, select, update

from backstay.feedback.collection.certainty import beta_of
from backstay.feedback.collection.items import Item, as_json
from backstay.feedback.collection.leaking import retire_leaked
from backstay.feedback.collection.leasing import (
    Assignment,
    Issued,
    issue,
    issue_after,
    open_of,
    release,
    seen_before,
    settle,
)
from backstay.feedback.collection.project import Project
from backstay.feedback.collection.raters import RaterStats, count_day, with_pace, write_stats
from backstay.feedback.collection.rejection import Rejected
from backstay.feedback.collection.situation import Situation, situation_of
from backstay.feedback.collection.submission import Edit, Given, Submission, judgments_of
from backstay.feedback.collection.tally import Vote, count_vote, label_of, write_item
from backstay.records import Dimension, Judgment, Response, content_hash, uuid7
from backstay.storage.console_tables import assignments, drafts, gold_items
from backstay.storage.engine import writing_at_once
from backstay.storage.tables import responses
from backstay.storage.unit import Unit

CLIENT = "backstay.console"


class Taken(NamedTuple):
    """What came of a submission, and its rater's row since; `is_new` is false where it had been taken before."""

    assignment: Assignment
    following: Issued
    is_new: bool
    project: Project
    stats: RaterStats


def submit(
    unit: Unit,
    assignment_id: str,
    rater_id: str,
    key: str,
    submission: Submission,
    secret: bytes,
    *,
    knows_gold: bool = False,
) -> Taken:
    """Take a rater's answer. Raises Rejected with nothing stored: not_found, key_reused, lease_over, does_not_fit."""
    before = situation_of(unit.connection, assignment_id, rater_id)
    digest = content_hash(submission.model_dump(mode="json"))
    if before.assignment.key == key:
        return _taken_before(unit, before, digest, secret, knows_gold)
    _check_open(unit, before)
    given = _given(unit, before, submission)
    judgments = judgments_of(submission, given, before.project.settings)
    sizes = dict.fromkeys(given.task_ids.values(), len(given.order))
    answer = _answer(unit.connection, before, submission, judgments)
    with writing_at_once(unit.connection):
        unit.batch.append_judgments(before.project.dataset, judgments, sizes=sizes)
        stats = _count(unit, before, answer)
        if submission.edit is not None:
            _keep_draft(unit, before, submission.edit)
        taken = settle(
            unit.connection,
            before.assignment,
            state="judged",
            key=key,
            key_digest=digest,
            settled_at_ms=unit.now_ms,
            answer=as_json(answer),
            judgment_ids=json.dumps([judgment.id for judgment in judgments]),
        )
    retire_leaked(unit, before.item, answer["gold"])
    return Taken(taken, _following(unit, before, secret, knows_gold), True, before.project, stats)


def skip(
    unit: Unit,
    assignment_id: str,
    rater_id: str,
    key: str,
    reason: str,
    note: str,
    secret: bytes,
    *,
    knows_gold: bool = False,
) -> Taken:
    """Give an assignment back; its rater is not asked again, and the journal says why."""
    before = situation_of(unit.connection, assignment_id, rater_id)
    digest = content_hash([reason, note])
    if before.assignment.key == key:
        return _taken_before(unit, before, digest, secret, knows_gold)
    _check_open(unit, before)
    if before.assignment.state == "open":
        release(unit.connection, before.assignment, "skipped", unit.now_ms)
    answer = as_json({"reason": reason, "note": note})
    given = {"key": key, "key_digest": digest, "answer": answer, "state": "skipped", "settled_at_ms": unit.now_ms}
    taken = settle(unit.connection, before.assignment, **given)
    stats = before.stats._replace(skipped=before.stats.skipped + 1, last_at_ms=unit.now_ms)
    write_stats(unit.connection, stats)
    about = {"project": before.project.id, "item": before.item.id, "rater": rater_id, "reason": reason, "note": note}
    unit.note("console.skip", about)
    return Taken(taken, _following(unit, before, secret, knows_gold), True, before.project, stats)


def renew(unit: Unit, assignment_id: str, rater_id: str) -> Assignment:
    """Keep an assignment for another lease."""
    before = situation_of(unit.connection, assignment_id, rater_id)
    _check_open(unit, before)
    expires = {"expires_at_ms": unit.now_ms + 1000 * before.project.settings.lease_s}
    if before.assignment.state == "expired":
        if open_of(unit.connection, before.project.id, rater_id):
            raise Rejected("lease_over", "you have another task now", cure="do that one")
        if before.assignment.purpose == "vote":
            write_item(unit.connection, before.item._replace(leased=before.item.leased + 1))
        return settle(unit.connection, before.assignment, state="open", settled_at_ms=None, **expires)
    return settle(unit.connection, before.assignment, **expires)


def taken_answer(assignment: Assignment) -> dict[str, Any]:
    """What an assignment's answer column holds: `given`, `labels`, `beta`, and what was counted with it."""
    found: dict[str, Any] = json.loads(assignment.answer or "{}")
    return found


def gold_of(connection: Connection, item: Item) -> dict[Dimension, int]:
    """Index of the best response by dimension, where a trusted person has settled it."""
    where = _is_gold(item)
    query = select(gold_items.c.dimension, gold_items.c.best).where(where, gold_items.c.state != "withdrawn")
    return {row.dimension: row.best for row in connection.execute(query)}


def count_gold(connection: Connection, item: Item, right: Mapping[Dimension, bool], sign: int) -> None:
    """Count that a rater saw the gold of an item, and along which dimensions the answer was right."""
    for dimension, is_right in right.items():
        changes = {"exposures": gold_items.c.exposures + sign, "right": gold_items.c.right + sign * is_right}
        where = _is_gold(item) & (gold_items.c.dimension == dimension)
        connection.execute(update(gold_items).where(where).values(changes))


def _is_gold(item: Item) -> ColumnElement[bool]:
    return (gold_items.c.project == item.project) & (gold_items.c.item_id == item.id)


def _following(unit: Unit, before: Situation, secret: bytes, knows_gold: bool) -> Issued:
    """The next assignment; a rater has one open at a time, so the one that was answered was the only one."""
    was_open = before.assignment.state == "open"
    return issue_after(unit, before.project, before.stats, secret, has_open=not was_open, knows_gold=knows_gold)


def _taken_before(unit: Unit, before: Situation, digest: str, secret: bytes, knows_gold: bool) -> Taken:
    if before.assignment.key_digest != digest:
        raise Rejected("key_reused", "another answer was sent under this key", cure="use a new Idempotency-Key")
    following = issue(unit, before.project, before.assignment.rater_id, secret, knows_gold=knows_gold)
    return Taken(before.assignment, following, False, before.project, before.stats)


def _check_open(unit: Unit, before: Situation) -> None:
    """An answer is taken within its lease and for as long again, whatever it was asked for.

    A rule that asked whether the place is still free would tell gold, which has no places, from votes.
    """
    found, settings = before.assignment, before.project.settings
    if found.state in ("judged", "skipped", "retracted"):
        raise Rejected("already_judged", "this assignment has its answer already", cure="ask for the next one")
    if before.project.status == "closed" or before.stats.status == "paused":
        raise Rejected("closed" if before.project.status == "closed" else "paused", "nothing more is taken here")
    if found.state == "open":
        return
    if before.stats.status != "active":
        raise Rejected("paused", "nothing more is taken here until your status is active again")
    is_too_late = unit.now_ms - found.expires_at_ms > 1000 * settings.lease_s
    if is_too_late or seen_before(unit.connection, found, settings.prompts_again):
        raise Rejected("lease_over", "the time for this task ran out and it went to others", cure="take the next one")


def _given(unit: Unit, before: Situation, submission: Submission) -> Given:
    order = before.assignment.order_shown
    names = {
        name: before.item.task_ids[name] for name in before.project.settings.dimensions if name in before.item.task_ids
    }
    marked = bool(submission.spans)
    lengths = _lengths(unit.connection, before.project.dataset, before.item.response_ids) if marked else ()
    # The clocks of two servers on one database differ.
    elapsed_ms = max(0, unit.now_ms - before.assignment.issued_at_ms)
    found = before.assignment
    return Given(names, order, lengths, found.rater_id, found.purpose, elapsed_ms, unit.now_ms, CLIENT)


def _lengths(connection: Connection, dataset: str, response_ids: Sequence[str]) -> list[int]:
    where = (responses.c.dataset == dataset) & responses.c.id.in_(response_ids)
    rows = connection.execute(select(responses.c.record).where(where)).scalars()
    found = {response.id: len(response.text) for response in map(Response.from_json, rows)}
    return [found[response_id] for response_id in response_ids]


def _answer(
    connection: Connection, before: Situation, submission: Submission, judgments: Sequence[Judgment]
) -> dict[str, Any]:
    """What an assignment keeps of its answer; see `taken_answer`."""
    names = [name for name in before.project.settings.dimensions if name in before.item.task_ids]
    first = dict(zip(names, judgments, strict=True))
    labels = {name: label_of(judgment.choice) for name, judgment in first.items()}
    is_repeat = before.assignment.purpose == "consistency"
    gold = gold_of(connection, before.item) if before.has_gold and not is_repeat else {}
    return {
        "given": submission.model_dump(mode="json"),
        "labels": labels,
        "beta": beta_of(before.stats),
        "gold": {name: _best(first[name]) == best for name, best in gold.items() if name in first},
        "same": _same_as_before(connection, before, labels),
        "duration_ms": judgments[0].duration_ms or 0,
        "first": _chose_first(judgments[0]),
        "agreed": None if is_repeat else _agreement(before.item, labels),
    }


def _count(unit: Unit, before: Situation, answer: Mapping[str, Any]) -> RaterStats:
    found, item = before.assignment, before.item
    if found.purpose != "consistency":
        leased = item.leased - (found.purpose == "vote" and found.state == "open")
        vote = Vote(before.stats.rater_id, answer["labels"], *answer["beta"])
        count_vote(unit.connection, before.project, item._replace(leased=leased), vote, 1)
        count_gold(unit.connection, item, answer["gold"], 1)
    return count_answer(unit, before.stats, answer, 1, unit.now_ms)


def count_answer(unit: Unit, stats: RaterStats, answer: Mapping[str, Any], sign: int, given_at_ms: int) -> RaterStats:
    """Add an answer to what is counted of its rater and of the day on which it was given, or take it away."""
    right, same, first, agreed = answer["gold"].values(), answer["same"], answer["first"], answer["agreed"]
    changed = with_pace(stats, answer["duration_ms"], sign)._replace(
        judged=stats.judged + sign,
        gold_seen=stats.gold_seen + sign * len(right),
        gold_right=stats.gold_right + sign * sum(right),
        repeats=stats.repeats + sign * (same is not None),
        repeats_same=stats.repeats_same + sign * bool(same),
        decided=stats.decided + sign * (first is not None),
        chose_first=stats.chose_first + sign * bool(first),
        compared=stats.compared + sign * (agreed is not None),
        agreed=stats.agreed + sign * bool(agreed),
        last_at_ms=unit.now_ms,
    )
    write_stats(unit.connection, changed)
    count_day(unit.connection, stats.project, stats.rater_id, given_at_ms, sign, sign * answer["duration_ms"])
    return changed


def _best(judgment: Judgment) -> int | None:
    ranking = judgment.choice.ranking
    return ranking[0][0] if ranking and len(ranking[0]) == 1 else None


def _chose_first(judgment: Judgment) -> bool | None:
    """Whether the response that was shown first came out best; None for ties and all bad."""
    best = _best(judgment)
    return None if best is None else best == judgment.order_shown[0]


def _agreement(item: Item, labels: Mapping[Dimension, str]) -> bool | None:
    """Whether the answer is what most others said, along the first dimension where most others agree."""
    for dimension, label in labels.items():
        counts = sorted(item.counts.get(dimension, {}).items(), key=lambda pair: -pair[1])
        if counts and (len(counts) == 1 or counts[0][1] > counts[1][1]):
            return counts[0][0] == label
    return None


def _same_as_before(connection: Connection, before: Situation, labels: Mapping[Dimension, str]) -> bool | None:
    """Whether a repeated answer equals the first one; None where nothing is repeated."""
    found = before.assignment
    if found.purpose != "consistency":
        return None
    where = (
        (assignments.c.project == found.project)
        & (assignments.c.rater_id == found.rater_id)
        & (assignments.c.item_id == found.item_id)
        & (assignments.c.state == "judged")
    )
    old = connection.execute(select(assignments.c.answer).where(where).limit(1)).scalar()
    first = {} if old is None else json.loads(old)["labels"]
    both = [name for name in labels if name in first]  # The project may ask along other dimensions since.
    return all(first[name] == labels[name] for name in both) if both else None


def _keep_draft(unit: Unit, before: Situation, edit: Edit) -> None:
    """A better answer waits for a reviewer: what a model imitates is no rater's alone to say."""
    response = before.item.response_ids[before.assignment.order_shown[edit.slot]]
    row = {
        "id": uuid7(),
        "project": before.project.id,
        "prompt_id": before.item.prompt_id,
        "response_id": response,
        "rater_id": before.assignment.rater_id,
        "text": edit.text,
        "state": "waiting",
        "at_ms": unit.now_ms,
    }
    unit.connection.execute(insert(drafts), [row])
    unit.note("console.draft", row)
