"""Which item a rater is asked next: what may be asked, out of the tables, and the draw of `feedback.selection`.

The draw is keyed by the project's secret, the rater, and how many assignments the rater has had: nobody can foretell
it, and whoever has the secret can draw it again.
"""

import json
from typing import Any, Literal, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, ScalarSelect, Select, and_, bindparam, exists, func, select

from backstay.feedback.collection.certainty import beliefs, ties_of, trust_of
from backstay.feedback.collection.project import Project
from backstay.feedback.collection.raters import RaterStats
from backstay.feedback.selection import (
    Candidates,
    ChoiceRule,
    GoldPool,
    OwnPast,
    Trust,
    choose,
    ensemble_gain,
    keyed_rng,
)
from backstay.storage.console_tables import assignments, gold_items, items

Purpose = Literal["vote", "gold", "consistency"]
CANDIDATES, GOLD_CANDIDATES, PAST = 32, 32, 64
REPEAT_AFTER = 10
"""Judgments that lie between a task and its repetition."""

HELD = ("open", "judged", "skipped")
"""States in which an assignment counts as having shown its prompt to its rater."""

MINE = and_(assignments.c.project == bindparam("of"), assignments.c.rater_id == bindparam("rater"))
SHOWN = and_(MINE, assignments.c.state.in_(HELD), assignments.c.purpose != "consistency")
_SAME_PROMPT = assignments.c.prompt_id == items.c.prompt_id


def _count(*where: ColumnElement[bool]) -> ScalarSelect[int]:
    """How many assignments there are for each row of the query around it, found by an index for that row alone.

    PostgreSQL would make a join of NOT EXISTS, and read all that the rater has ever done. It takes `= 0` to hold so
    seldom that it reads all items, where the first ones in order do; of `< 1` it thinks better.
    """
    return select(func.count()).where(*where).scalar_subquery()


def _unseen(again: bool) -> ColumnElement[bool]:
    """Items whose prompt the rater has not had as often as may be, and that are not the rater's already."""
    times = _count(SHOWN, _SAME_PROMPT)
    if not again:
        return times < 1
    return and_(times < bindparam("most"), _count(SHOWN, assignments.c.item_id == items.c.id) < 1)


def _open_items(again: bool, knows_gold: bool) -> Select[Any]:
    where = and_(items.c.project == bindparam("of"), items.c.state == "open", items.c.leased < items.c.wants)
    if knows_gold:
        known = and_(gold_items.c.project == items.c.project, gold_items.c.item_id == items.c.id)
        where = and_(where, ~exists(select(1).where(known)))
    order = (items.c.priority.desc(), items.c.place.desc())  # One direction, so that the index gives the order.
    read = (items.c.id, items.c.votes, items.c.leased, items.c.belief, items.c.scores)
    return select(*read).where(where, _unseen(again)).order_by(*order).limit(CANDIDATES)


def _gold_candidates(again: bool) -> Select[Any]:
    match = and_(gold_items.c.project == items.c.project, gold_items.c.item_id == items.c.id)
    where = and_(
        gold_items.c.project == bindparam("of"),
        gold_items.c.state == "active",
        gold_items.c.exposures < bindparam("exposures"),
    )
    query = select(items.c.id, gold_items.c.exposures).join(gold_items, match).where(where, _unseen(again))
    return query.order_by(gold_items.c.exposures, gold_items.c.item_id).limit(GOLD_CANDIDATES)


_OPEN_ITEMS = {(again, known): _open_items(again, known) for again in (False, True) for known in (False, True)}
_GOLD_ITEMS = (_gold_candidates(False), _gold_candidates(True))

_ASKED_AGAIN = assignments.alias("asked_again")
_PAST = (
    select(assignments.c.item_id)
    .where(MINE, assignments.c.state == "judged")
    .where(
        _count(  # By the prompt, so that an index finds the few that there are of it, not all of the rater's.
            _ASKED_AGAIN.c.project == assignments.c.project,
            _ASKED_AGAIN.c.rater_id == assignments.c.rater_id,
            _ASKED_AGAIN.c.prompt_id == assignments.c.prompt_id,
            _ASKED_AGAIN.c.item_id == assignments.c.item_id,
            _ASKED_AGAIN.c.purpose == "consistency",
        )
        < 1
    )
    .order_by(assignments.c.settled_at_ms.desc())
    .offset(REPEAT_AFTER)
    .limit(PAST)
)


class Pick(NamedTuple):
    """What was drawn."""

    item_id: str
    purpose: Purpose
    strategy: str
    propensity: float


def pick(
    connection: Connection, project: Project, stats: RaterStats, secret: bytes, *, knows_gold: bool = False
) -> Pick | None:
    """The rater's next item; None where there is nothing left to vote on.

    Who `knows_gold` is asked nothing that is or was gold: right answers would be no reason to trust them.
    """
    settings = project.settings
    at = {"of": project.id, "rater": stats.rater_id, "most": settings.prompts_again}
    again = settings.prompts_again > 1
    rows = connection.execute(_OPEN_ITEMS[again, knows_gold], at).all()
    if not rows:
        return None
    found = () if knows_gold else connection.execute(_GOLD_ITEMS[again], at | {"exposures": settings.gold_exposures})
    gold = list({row.id: row for row in found}.values())  # Gold along two dimensions is no likelier to be asked.
    past = list(connection.execute(_PAST, at).scalars()) if settings.repeat_share else []
    trust = trust_of(stats)
    drawn = choose(
        Candidates(
            beliefs([json.loads(row.belief) for row in rows], settings),
            np.array([row.votes for row in rows]),
            np.array([row.leased for row in rows]),
            _reward([row.scores for row in rows], trust),
        ),
        _gold_pool([row.exposures for row in gold], settings.gold_exposures),
        OwnPast(np.full(len(past), REPEAT_AFTER), np.zeros(len(past), dtype=np.bool_), lag=REPEAT_AFTER),
        trust,
        ties_of(settings),
        ChoiceRule(
            gold=settings.gold_share,
            repeat=settings.repeat_share,
            strategy="active" if settings.active else "even",
        ),
        keyed_rng(secret, project.id, stats.rater_id, stats.issued),
    )
    if drawn is None:
        return None
    pools = {"vote": [row.id for row in rows], "gold": [row.id for row in gold], "consistency": past}
    item_id = pools[drawn.purpose.value][drawn.place]
    return Pick(item_id, drawn.purpose.value, drawn.strategy, drawn.propensity)


def left_for(connection: Connection, project: Project, rater_id: str, *, knows_gold: bool = False) -> int | None:
    """Tasks that the rater could get now, an open one among them; None where they are too many to count in passing."""
    at = {"of": project.id, "rater": rater_id, "most": project.settings.prompts_again}
    found = len(connection.execute(_OPEN_ITEMS[project.settings.prompts_again > 1, knows_gold], at).all())
    open_ones = select(func.count()).where(MINE, assignments.c.state == "open")
    return None if found >= CANDIDATES else found + int(connection.execute(open_ones, at).scalar_one())


def _gold_pool(exposures: list[int], cap: int) -> GoldPool:
    """Gold that the rater has not seen and that is not retired: the query gives no other."""
    none = np.zeros(len(exposures), dtype=np.bool_)
    return GoldPool(np.array(exposures, dtype=np.int64), none, none, cap)


def _reward(scores: list[str | None], trust: Trust) -> "np.ndarray[tuple[int], np.dtype[np.float64]] | None":
    """What an answer tells about which member of the reward ensemble is right; 0 where an item has no scores."""
    known = {place: json.loads(text) for place, text in enumerate(scores) if text}
    gain = np.zeros(len(scores))
    for members in {len(found) for found in known.values()}:
        places = [place for place, found in known.items() if len(found) == members]
        gain[places] = ensemble_gain(np.array([known[place] for place in places], dtype=np.float64).T, trust)
    return gain if known else None
