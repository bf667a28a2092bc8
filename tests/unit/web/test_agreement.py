"""Live agreement: patterns with their numbers give what a walk over every item gives."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
from collection_world import world

from backstay.aggregate import alpha_interval, krippendorff_alpha
from backstay.feedback.collection import ProjectSettings
from backstay.web.agreement import agreement_in, agreement_of, counts_in

PATTERNS = {"0>1:3": 40, "0>1:2,1>0:1": 25, "0>1:1,1>0:2": 20, "1>0:3": 30, "0>1:1,tie:2": 5, "0>1:1": 7, "bad:2": 3}
LABELS = ["0>1", "1>0", "bad", "tie"]


def test_patterns_give_the_interval_that_the_items_give() -> None:
    rows = [[counts_in(pattern).get(label, 0) for label in LABELS] for pattern, n in PATTERNS.items() for _ in range(n)]
    items = np.array(rows, dtype=np.float64)
    random.Random(3).shuffle(rows)
    found = agreement_in("overall", PATTERNS)
    assert found.alpha == alpha_interval(items, seed=0)
    assert found.alpha == alpha_interval(np.array(rows, dtype=np.float64), seed=0)
    assert found.alpha.value == pytest.approx(krippendorff_alpha(items), abs=1e-12)
    assert found.alpha.low < found.alpha.value < found.alpha.high
    assert (found.items, found.compared) == (130, 123)
    assert (found.votes, found.ties, found.both_bad) == (3 * 120 + 7 + 6, 10, 6)


def test_the_interval_is_that_of_a_bootstrap_which_draws_items() -> None:
    kinds = [counts_in(pattern) for pattern, n in PATTERNS.items() for _ in range(n)]
    rows = np.array([[row.get(label, 0) for label in LABELS] for row in kinds], dtype=np.float64)
    rng = np.random.default_rng(11)
    pairable = rows[rows.sum(axis=1) >= 2]
    drawn = [krippendorff_alpha(pairable[rng.integers(0, len(pairable), len(pairable))]) for _ in range(2000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    found = agreement_in("overall", PATTERNS).alpha
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


def test_alpha_by_hand() -> None:
    # Two items: (a, a) and (a, b). D_o = (0 + 2) / 4; D_e = 2 * 3 * 1 / (4 * 3): alpha = 1 - 0.5 / 0.5 = 0.
    found = agreement_in("overall", {"0>1:2": 1, "0>1:1,1>0:1": 1})
    assert found.alpha.value == pytest.approx(0.0, abs=1e-12)
    assert found.raw.value == 0.5


def test_without_a_second_vote_nothing_is_said() -> None:
    found = agreement_in("overall", {"0>1:1": 9})
    assert math.isnan(found.alpha.value)
    assert (found.items, found.compared, found.votes) == (9, 0, 9)


def test_what_raters_answer_is_what_is_counted(tmp_path: Path) -> None:
    settings = ProjectSettings(gold_share=0.0, repeat_share=0.0, votes=3, most_votes=3, active=False)
    with world(tmp_path, prompts=4, settings=settings) as made:
        for rater, winner in (("ann", 0), ("ben", 0)):
            for _ in range(3):
                made.judge(rater, winner)
        made.judge("cat", None)
        with made.engine.connect() as connection:
            (found,) = agreement_of(connection, "p")
            assert agreement_of(connection, "other") == []
    assert (found.dimension, found.votes, found.ties) == ("overall", 7, 1)
