"""What the votes on an item add up to while they come in: counts by answer, log-odds, and how many more are wanted.

This steers assignment and the live pages. What training reads is made by aggregation, from the judgments themselves.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, update

from backstay.feedback.collection.items import Item, as_json
from backstay.feedback.collection.project import Project, ProjectSettings
from backstay.records import Choice, Dimension
from backstay.storage.console_tables import items, vote_patterns

TIE, BAD = "tie", "bad"
LEAST_TRUST, MOST_TRUST = 0.02, 0.98


_WRITE = update(items).where((items.c.project == bindparam("of")) & (items.c.id == bindparam("item")))
_MOVE = (
    update(vote_patterns)
    .where(vote_patterns.c.project == bindparam("of"))
    .where(vote_patterns.c.dimension == bindparam("along"))
    .where(vote_patterns.c.pattern == bindparam("votes"))
    .values(n_items=vote_patterns.c.n_items + bindparam("step"))
)


class Vote(NamedTuple):
    """A rater's answers by dimension as labels, and how far the rater was trusted when they were counted."""

    labels: Mapping[Dimension, str]
    trust: float


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
        after = _moved(before, label, sign)
        _move_pattern(connection, project.id, dimension, before, after)
        counts[dimension] = after
        belief[dimension] = {"log_odds": _log_odds(belief.get(dimension, {}), label, vote.trust, sign)}
        if not after:  # Exactly as before the first vote, whatever rounding has left.
            del counts[dimension], belief[dimension]
    changed = item._replace(counts=counts, belief=belief, votes=item.votes + sign)
    return write_item(connection, settled(changed, project.settings))


def settled(item: Item, settings: ProjectSettings) -> Item:
    """The item with what its votes mean: its state, how many more it wants, and its priority."""
    if item.state in ("settled", "withdrawn"):
        return item
    sure = item.votes > 0 and all(certainty(item, name) >= settings.certainty for name in item.task_ids)
    if item.votes < settings.votes:
        state, wants = "open", settings.votes - item.votes
    elif sure:
        state, wants = "done", 0
    elif item.votes < settings.most_votes:
        state, wants = "open", 1
    else:
        state, wants = ("disputed" if _is_split(item) else "done"), 0
    return item._replace(state=state, wants=wants, priority=uncertainty(item) if settings.active else 0.0)


def certainty(item: Item, dimension: str) -> float:
    """Probability of the likelier side along a dimension, where the votes count as their raters are trusted."""
    return 1.0 / (1.0 + math.exp(-abs(item.belief.get(dimension, {}).get("log_odds", 0.0))))


def uncertainty(item: Item) -> float:
    """Entropy of the least certain dimension, in nats."""
    return max(_entropy(certainty(item, name)) for name in item.task_ids)


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


def _log_odds(belief: Mapping[str, float], label: str, trust: float, sign: int) -> float:
    """Log-odds that response 0 is the better of two; other answers than 0>1 and 1>0 leave it where it is."""
    side = {"0>1": 1, "1>0": -1}.get(label, 0)
    clipped = min(MOST_TRUST, max(LEAST_TRUST, trust))
    return belief.get("log_odds", 0.0) + sign * side * math.log(clipped / (1.0 - clipped))


def _is_split(item: Item) -> bool:
    return any(len(counts) > 1 for counts in item.counts.values())


def _entropy(p: float) -> float:
    return -sum(q * math.log(q) for q in (p, 1.0 - p) if q > 0.0)


def _moved(counts: Mapping[str, int], label: str, sign: int) -> dict[str, int]:
    moved = dict(counts) | {label: counts.get(label, 0) + sign}
    return {name: n for name, n in sorted(moved.items()) if n > 0}


def _move_pattern(
    connection: Connection, project_id: str, dimension: str, before: Mapping[str, int], after: Mapping[str, int]
) -> None:
    """Items are counted by their votes as `label:n` joined, so that agreement needs no walk over the judgments."""
    for counts, step in ((before, -1), (after, 1)):
        pattern = ",".join(f"{name}:{n}" for name, n in counts.items())
        if not pattern or len(pattern) > _LONGEST:
            continue
        at = {"of": project_id, "along": dimension, "votes": pattern, "step": step}
        if not connection.execute(_MOVE, at).rowcount:
            row = {"project": project_id, "dimension": dimension, "pattern": pattern, "n_items": step}
            connection.execute(insert(vote_patterns), [row])


_LONGEST = 60
"""Characters of a pattern; rankings of many responses are beyond it, and beyond nominal agreement as well."""
