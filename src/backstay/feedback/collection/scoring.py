"""What a reward ensemble thinks of items: active assignment asks for answers that tell its members apart."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from backstay.feedback.collection.items import as_json
from backstay.feedback.collection.project import Project
from backstay.feedback.collection.rejection import Rejected
from backstay.records import content_hash
from backstay.storage.console_tables import items
from backstay.storage.unit import Unit

MOST_ITEMS = 1000
LEAST_MEMBERS, MOST_MEMBERS = 2, 32
MOST_LOG_ODDS = 50.0
"""Beyond it a probability is 0 or 1 to all digits."""

_WRITE = update(items).where((items.c.project == bindparam("of")) & (items.c.id == bindparam("item")))


class Scored(NamedTuple):
    """Items whose scores were set, members of the ensemble, and the SHA-256 of what was set, as the journal has it."""

    items: int
    members: int
    digest: str


def set_scores(unit: Unit, project: Project, scores: Mapping[str, Sequence[float]], by: str) -> Scored:
    """Set each member's log-odds that response 0 is better than response 1, by item; an empty list takes them away.

    All are set, or none: raises Rejected `does_not_fit` for other than 1 to 1000 items, ensembles of different sizes
    or of other than 2 to 32 members, numbers that are not finite or beyond 50, and items of more than two responses,
    and `not_found` for an item that the project has not.
    """
    if not 1 <= len(scores) <= MOST_ITEMS:
        raise _unfit(f"{len(scores)} items", f"send 1 to {MOST_ITEMS} at once")
    members = {len(found) for found in scores.values() if found}
    if len(members) > 1 or not all(LEAST_MEMBERS <= size <= MOST_MEMBERS for size in members):
        sizes = ", ".join(map(str, sorted(members)[:5]))
        raise _unfit(f"{sizes} members", f"send one ensemble of {LEAST_MEMBERS} to {MOST_MEMBERS} members")
    wrong = next((n for found in scores.values() for n in found if not _fits(n)), None)
    if wrong is not None:
        raise _unfit(f"log-odds of {wrong}", f"send numbers from -{MOST_LOG_ODDS:g} to {MOST_LOG_ODDS:g}")
    _check_pairs(unit.connection, project, scores)
    told = {item: [float(n) for n in found] for item, found in sorted(scores.items())}
    rows = [
        {"of": project.id, "item": item, "scores": as_json(found) if found else None} for item, found in told.items()
    ]
    unit.connection.execute(_WRITE.values(scores=bindparam("scores")), rows)
    done = Scored(len(told), max(members, default=0), content_hash(told))
    unit.note("console.scores", {"by": by, "project": project.id, **done._asdict()})
    return done


def _check_pairs(connection: Connection, project: Project, scores: Mapping[str, Sequence[float]]) -> None:
    where = (items.c.project == project.id) & items.c.id.in_(list(scores))
    query = select(items.c.id, items.c.response_ids).where(where)
    sizes = {row.id: len(json.loads(row.response_ids)) for row in connection.execute(query)}
    missing = next((item for item in scores if item not in sizes), None)
    if missing is not None:
        raise Rejected("not_found", f"there is no item {missing[:60]!r} in this project", place="scores")
    ranked = next((item for item in scores if sizes[item] > 2), None)
    if ranked is not None:
        raise _unfit(f"item {ranked!r} of {sizes[ranked]} responses", "send scores of pairs")


def _fits(number: float) -> bool:
    return math.isfinite(number) and abs(number) <= MOST_LOG_ODDS


def _unfit(what: str, cure: str) -> Rejected:
    return Rejected("does_not_fit", f"scores cannot be of {what}", cure=cure, place="scores")
