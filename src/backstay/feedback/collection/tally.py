"""What the votes on an item add up to while they come in: counts by answer, log-odds, and how many more are wanted.

This steers assignment and the live pages. What training reads is made by aggregation, from the judgments themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, bindparam, update
from sqlalchemy.dialects import postgresql, sqlite

from backstay.feedback.collection.certainty import ANSWERS, Kept, entropy_of, rule_of, standing
from backstay.feedback.collection.items import NEW, Item, as_json
from backstay.feedback.collection.project import Project, ProjectSettings
from backstay.feedback.selection import is_certain
from backstay.records import Choice, Dimension
from backstay.storage.console_tables import items, vote_patterns

TIE, BAD = "tie", "bad"
FIRST_VOTES = 2
"""Votes below which an item comes before all that have more."""


_WRITE = update(items).where((items.c.project == bindparam("of")) & (items.c.id == bindparam("item")))


def _adding(insert: Callable[[Table], Any]) -> Any:
    new = insert(vote_patterns)
    total = vote_patterns.c.n_items + new.excluded.n_items
    return new.on_conflict_do_update(index_elements=["project", "dimension", "pattern"], set_={"n_items": total})


_ADD = {"sqlite": _adding(sqlite.insert), "postgresql": _adding(postgresql.insert)}


class Vote(NamedTuple):
    """A rater's answers by dimension as labels, and the Beta distribution of the accuracy that they count with."""

    rater_id: str
    labels: Mapping[Dimension, str]
    right: float
    wrong: float


def label_of(choice: Choice) -> str:
    """The answer as one word: the order of indices such as `0>1`; `tie`: all are equal; `bad`: all are bad."""
    if choice.both_bad:
        return BAD
    if len(choice.ranking) == 1:
        return TIE
    return ">".join("=".join(map(str, group)) for group in choice.ranking)


def count_vote(connection: Connection, project: Project, item: Item, vote: Vote, sign: int) -> Item:
    """The item with a vote more (`sign` 1) or less (-1), written with its patterns of votes."""
    counts, belief = dict(item.counts), dict(item.belief)
    for dimension, label in vote.labels.items():
        before = counts.get(dimension, {})
        counts[dimension] = _moved(before, label, sign)
        _move_pattern(connection, project.id, dimension, before, counts[dimension])
        if label in ANSWERS and len(item.response_ids) == 2:
            belief[dimension] = _kept(belief.get(dimension, []), vote, label, sign)
    counts = {name: labels for name, labels in counts.items() if labels}
    kept = {name: ballots for name, ballots in belief.items() if ballots}
    changed = item._replace(counts=counts, belief=kept, votes=item.votes + sign)
    if item.state == "disputed" and sign > 0:  # A late vote does not take it away from the person who decides it.
        return write_item(connection, changed)
    return write_item(connection, settled(changed, project.settings))


def settled(item: Item, settings: ProjectSettings) -> Item:
    """The item with what its votes mean: its state, how many more it wants, and its priority."""
    if item.state in ("settled", "withdrawn"):
        return item
    if item.votes < settings.votes:
        state, wants = "open", settings.votes - item.votes
    elif len(item.response_ids) > 2 or _is_sure(item, settings):
        state, wants = "done", 0
    elif item.votes < settings.most_votes:
        state, wants = "open", 1
    else:
        state, wants = ("disputed" if _is_split(item, settings) else "done"), 0
    return item._replace(state=state, wants=wants, priority=priority(item.votes, item.belief, settings))


def priority(votes: int, belief: Kept, settings: ProjectSettings) -> float:
    """Items with fewer votes than FIRST_VOTES come before all others, then the least certain ones."""
    if votes < FIRST_VOTES:
        return NEW - votes
    return entropy_of(belief, settings) if settings.active else -float(votes)


def write_item(connection: Connection, item: Item) -> Item:
    """Write what changes about an item."""
    values = {
        "state": item.state,
        "votes": item.votes,
        "wants": item.wants,
        "leased": max(0, item.leased),
        "counts": as_json(item.counts),
        "belief": as_json(item.belief),
        "priority": item.priority,
    }
    connection.execute(_WRITE, {"of": item.project, "item": item.id, **values})
    return item


def _is_sure(item: Item, settings: ProjectSettings) -> bool:
    names, rule = [name for name in settings.dimensions if name in item.task_ids], rule_of(settings)
    return all(is_certain(standing(item.belief, name, settings), rule)[0] for name in names)


def _is_split(item: Item, settings: ProjectSettings) -> bool:
    return any(len(item.counts.get(name, {})) > 1 for name in settings.dimensions)


def _kept(ballots: Sequence[Sequence[str | float]], vote: Vote, label: str, sign: int) -> list[list[str | float]]:
    """The ballots with the rater's, or without it."""
    others = [list(row) for row in ballots if row[0] != vote.rater_id]
    return others + ([[vote.rater_id, ANSWERS[label], vote.right, vote.wrong]] if sign > 0 else [])


def _moved(counts: Mapping[str, int], label: str, sign: int) -> dict[str, int]:
    moved = dict(counts) | {label: counts.get(label, 0) + sign}
    return {name: n for name, n in sorted(moved.items()) if n > 0}


def _move_pattern(
    connection: Connection, project_id: str, dimension: str, before: Mapping[str, int], after: Mapping[str, int]
) -> None:
    """Items are counted by their votes as `label:n` joined, so that agreement needs no walk over the judgments."""
    rows = [
        {"project": project_id, "dimension": dimension, "pattern": pattern, "n_items": step}
        for counts, step in ((before, -1), (after, 1))
        if (pattern := ",".join(f"{name}:{n}" for name, n in counts.items())) and len(pattern) <= _LONGEST
    ]
    if rows:
        connection.execute(_ADD[connection.dialect.name], rows)


_LONGEST = 60
"""Characters of a pattern; rankings of many responses are beyond it, and beyond nominal agreement as well."""
