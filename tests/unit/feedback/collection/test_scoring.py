"""Scores of a reward ensemble: all or none, bounded, journalled, and read when an item is chosen."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from collection_world import World, world

from backstay.feedback.collection import Rejected
from backstay.feedback.collection.scoring import MOST_ITEMS, set_scores
from backstay.storage.journal import read_entries


def ids(found: World) -> list[str]:
    with found.engine.connect() as connection:
        return list(connection.exec_driver_sql("SELECT id FROM items ORDER BY id").scalars())


def kept(found: World) -> dict[str, Any]:
    with found.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT id, scores FROM items").all()
    return {row.id: json.loads(row.scores) for row in rows if row.scores}


def test_scores_are_kept_journalled_and_taken_away(tmp_path: Path) -> None:
    with world(tmp_path, prompts=3) as found:
        one, two, _ = ids(found)
        done = found.do(lambda unit: set_scores(unit, found.project, {two: [1, -2.5], one: [0.25, 0.0]}, "lena"))
        text = f'{{"{one}":[0.25,0],"{two}":[1,-2.5]}}'
        assert done == (2, 2, hashlib.sha256(text.encode()).hexdigest())
        assert kept(found) == {one: [0.25, 0.0], two: [1.0, -2.5]}
        with found.engine.connect() as connection:
            (entry,) = read_entries(connection, "console.scores")
        told = {"by": "lena", "digest": done.digest, "items": 2, "members": 2, "project": "p"}
        assert json.loads(entry.payload) == told
        found.do(lambda unit: set_scores(unit, found.project, {one: []}, "lena"))
        assert kept(found) == {two: [1.0, -2.5]}


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({}, "0 items"),
        ({f"item-{n}": [0.0, 1.0] for n in range(MOST_ITEMS + 1)}, "1001 items"),
        ({"ONE": [1.0]}, "1 members"),
        ({"ONE": [1.0] * 33}, "33 members"),
        ({"ONE": [1.0, 2.0], "TWO": [1.0, 2.0, 3.0]}, "2, 3 members"),
        ({"ONE": [1.0, math.nan]}, "nan"),
        ({"ONE": [1.0, math.inf]}, "inf"),
        ({"ONE": [1.0, -50.1]}, "-50.1"),
        ({"ONE": [1.0, 2.0], "item-none": [1.0, 2.0]}, "no item 'item-none'"),
    ],
)
def test_what_does_not_fit_changes_nothing(tmp_path: Path, scores: dict[str, list[float]], said: str) -> None:
    with world(tmp_path, prompts=2) as found:
        names = dict(zip(("ONE", "TWO"), ids(found), strict=True))
        sent = {names.get(item, item): row for item, row in scores.items()}
        with pytest.raises(Rejected, match=said) as refused:
            found.do(lambda unit: set_scores(unit, found.project, sent, "lena"))
        assert refused.value.place == "scores" and kept(found) == {}


def test_an_item_on_which_the_members_disagree_is_asked_first(tmp_path: Path) -> None:
    """All items have the same two votes; an answer on one of them tells the two members apart."""
    with world(tmp_path, prompts=5) as found:
        for rater in ("ann", "bob"):
            for _ in range(5):
                found.judge(rater, winner=0)
        wanted = ids(found)[3]
        scores = {item: [6.0, -6.0] if item == wanted else [6.0, 6.0] for item in ids(found)}
        found.do(lambda unit: set_scores(unit, found.project, scores, "lena"))
        drawn = found.next("carl")
        assert drawn.item_id == wanted and drawn.propensity == pytest.approx(0.92, abs=0.01)
