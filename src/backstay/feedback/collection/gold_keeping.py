"""Gold that is kept in the console: set, changed, retired or withdrawn by two people, and never shown to raters.

`set` names the best response; `retire` keeps the answer as true, and asks nobody any more; `withdraw` says that it was
none, and takes back what it had counted of raters.
"""

import json
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, insert, select, update

from backstay.feedback.collection.deciders import Decider, has_rated
from backstay.feedback.collection.items import Item, as_json, find_item
from backstay.feedback.collection.project import Project
from backstay.feedback.collection.proposing import Proposal, decide, propose
from backstay.feedback.collection.raters import stats_of, write_stats
from backstay.feedback.collection.rejection import Rejected
from backstay.records import Dimension
from backstay.storage.console_tables import assignments, gold_items
from backstay.storage.unit import Unit

Step = Literal["set", "retire", "withdraw"]
PAGE = 100


class Gold(NamedTuple):
    """A gold answer: `best` is an index of the item's responses; `right` of `exposures` raters found it.

    `why` is the reason for the last change; empty for gold that came with the data set.
    """

    item_id: str
    dimension: str
    best: int
    state: str
    exposures: int
    right: int
    author: str
    at_ms: int
    why: str


def gold_list(
    connection: Connection, project_id: str, after: tuple[str, str] = ("", ""), limit: int = PAGE
) -> list[Gold]:
    """A page of a project's gold in order of item and dimension, withdrawn ones included."""
    later = (gold_items.c.item_id > after[0]) | (
        (gold_items.c.item_id == after[0]) & (gold_items.c.dimension > after[1])
    )
    query = select(*_COLUMNS).where(gold_items.c.project == project_id, later)
    rows = connection.execute(query.order_by(gold_items.c.item_id, gold_items.c.dimension).limit(limit))
    return [Gold(*row) for row in rows]


def gold_at(connection: Connection, project_id: str, item_id: str, dimension: str) -> Gold | None:
    """The gold of an item along a dimension, or None."""
    row = connection.execute(select(*_COLUMNS).where(_at(project_id, item_id, dimension))).first()
    return None if row is None else Gold(*row)


def propose_gold(
    unit: Unit,
    project: Project,
    item_id: str,
    dimension: Dimension,
    step: Step,
    best: int | None,
    who: Decider,
    reason: str,
) -> Proposal:
    """Propose to set, retire or withdraw gold; a second person decides. Raises Rejected for what changes nothing."""
    item = find_item(unit.connection, project.id, item_id)
    if item is None or dimension not in item.task_ids:
        raise Rejected("not_found", "there is no such item in this project, or it is not asked along this dimension")
    now = gold_at(unit.connection, project.id, item_id, dimension)
    _check_step(item, now, step, best)
    change = {"do": step, "dimension": dimension, "best": best if step == "set" else None, "before": _state(now)}
    return propose(unit, "gold", project.id, item_id, change, who, reason)


def confirm_gold(unit: Unit, proposal: Proposal, who: Decider, reason: str) -> Proposal:
    """Do what was proposed. Raises Rejected: two_persons, own_item, and conflict where the gold changed meanwhile."""
    if has_rated(unit.connection, who, proposal.project, proposal.subject):
        raise Rejected("own_item", "you have rated this item yourself", cure="leave it to somebody else")
    decided = decide(unit, proposal, who, "confirmed", reason)
    if decided is None:
        return proposal
    dimension = proposal.change["dimension"]
    now = gold_at(unit.connection, proposal.project, proposal.subject, dimension)
    if _state(now) != proposal.change["before"]:
        raise Rejected("conflict", "this gold has changed since it was proposed", cure="refuse it and propose anew")
    _write(unit, proposal, now)
    _mark_again(unit, proposal.project, proposal.subject, dimension)
    told = {"by": who.account_id, "proposer": proposal.person, "proposal": proposal.id, "project": proposal.project}
    change = {name: value for name, value in proposal.change.items() if name != "do"}
    unit.note("console.gold", told | change | {"did": proposal.change["do"], "item": proposal.subject})
    return decided


def refuse_gold(unit: Unit, proposal: Proposal, who: Decider, reason: str) -> Proposal:
    """Leave the gold as it is. Raises Rejected as confirming does, but for gold that changed."""
    if has_rated(unit.connection, who, proposal.project, proposal.subject):
        raise Rejected("own_item", "you have rated this item yourself", cure="leave it to somebody else")
    return decide(unit, proposal, who, "refused", reason) or proposal


_COLUMNS = (
    gold_items.c.item_id,
    gold_items.c.dimension,
    gold_items.c.best,
    gold_items.c.state,
    gold_items.c.exposures,
    gold_items.c.right,
    gold_items.c.author,
    gold_items.c.at_ms,
    gold_items.c.why,
)


def _at(project_id: str, item_id: str, dimension: str) -> Any:
    return (
        (gold_items.c.project == project_id) & (gold_items.c.item_id == item_id) & (gold_items.c.dimension == dimension)
    )


def _state(gold: Gold | None) -> dict[str, Any] | None:
    return None if gold is None else {"best": gold.best, "state": gold.state}


def _check_step(item: Item, now: Gold | None, step: Step, best: int | None) -> None:
    if step == "set":
        if best is None or not 0 <= best < len(item.response_ids):
            raise Rejected(
                "does_not_fit", f"the best response is one of 0 to {len(item.response_ids) - 1}", place="best"
            )
        if now is not None and (now.best, now.state) == (best, "active"):
            raise Rejected("conflict", "this is its gold already")
        return
    if best is not None:
        raise Rejected("does_not_fit", f"`best` does not go with {step}", place="best")
    stands = ("active",) if step == "retire" else ("active", "retired")
    if now is None or now.state not in stands:
        raise Rejected("conflict", f"there is no gold to {step}", cure="look at the list again")


def _write(unit: Unit, proposal: Proposal, now: Gold | None) -> None:
    change = proposal.change
    states = {"set": "active", "retire": "retired", "withdraw": "withdrawn"}
    values: dict[str, Any] = {"state": states[change["do"]], "author": proposal.person, "at_ms": unit.now_ms}
    values["why"] = proposal.reason
    if change["do"] == "set":
        values["best"] = change["best"]
    if now is not None:
        at = _at(proposal.project, proposal.subject, change["dimension"])
        unit.connection.execute(update(gold_items).where(at).values(values))
        return
    key = {"project": proposal.project, "item_id": proposal.subject, "dimension": change["dimension"]}
    unit.connection.execute(insert(gold_items), [key | {"exposures": 0, "right": 0} | values])


def _mark_again(unit: Unit, project_id: str, item_id: str, dimension: str) -> None:
    """Mark the answers that this gold had marked by what it is now: no rater's trust rests on a mistake of ours."""
    gold = gold_at(unit.connection, project_id, item_id, dimension)
    if gold is None:
        return
    seen = right = 0
    for assignment_id, rater_id, answer in _marked(unit.connection, project_id, item_id, dimension):
        was: bool = answer["gold"].pop(dimension)
        is_right = _first(answer["labels"][dimension]) == gold.best
        counts = gold.state != "withdrawn"
        if counts:
            answer["gold"][dimension] = is_right
        seen, right = seen + counts, right + (counts and is_right)
        where = assignments.c.id == assignment_id
        unit.connection.execute(update(assignments).where(where).values(answer=as_json(answer)))
        _recount(unit.connection, project_id, rater_id, counts - 1, (counts and is_right) - was)
    counted = {"exposures": seen, "right": right}
    unit.connection.execute(update(gold_items).where(_at(project_id, item_id, dimension)).values(counted))


def _marked(
    connection: Connection, project_id: str, item_id: str, dimension: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    where = (
        (assignments.c.project == project_id) & (assignments.c.item_id == item_id) & (assignments.c.state == "judged")
    )
    query = select(assignments.c.id, assignments.c.rater_id, assignments.c.answer).where(where)
    for row in connection.execute(query.order_by(assignments.c.id)).all():
        answer = json.loads(row.answer or "{}")
        if dimension in answer.get("gold", {}):
            yield row.id, row.rater_id, answer


def _first(label: str) -> int | None:
    """The one best response of a label such as `1>0`; None for ties and all bad."""
    head = label.partition(">")[0]
    return int(head) if ">" in label and head.isdigit() else None


def _recount(connection: Connection, project_id: str, rater_id: str, seen: int, right: int) -> None:
    stats = stats_of(connection, project_id, rater_id)
    if stats is not None and (seen or right):
        write_stats(connection, stats._replace(gold_seen=stats.gold_seen + seen, gold_right=stats.gold_right + right))
