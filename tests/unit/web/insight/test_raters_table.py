"""The table of raters: shares with intervals, who leans to a place, order and choice."""

import math
from itertools import pairwise
from typing import Any

import pytest
from scipy.stats import binomtest

from backstay.feedback.collection import RaterStats
from backstay.web.insight.raters_table import Sort, chosen, leanings, portion, row_json, rows_of


def stats(rater: str, **counts: Any) -> RaterStats:
    return RaterStats("p", rater, "active")._replace(**counts)


def test_a_share_has_its_score_interval() -> None:
    found = portion(7, 10)
    # Wilson: roots of (p - 0.7)^2 = z^2 p (1 - p) / 10.
    z2 = 1.959963984540054**2
    for end in (found.low, found.high):
        assert (end - 0.7) ** 2 == pytest.approx(z2 * end * (1 - end) / 10, abs=1e-12)
    assert portion(0, 0) == (None, 0.0, 1.0, 0)


def test_who_leans_is_corrected_for_how_many_are_looked_at() -> None:
    fair = [stats(f"f{n:03d}", decided=100, chose_first=50 + n % 3) for n in range(300)]
    nearly = stats("nearly", decided=100, chose_first=61)
    leans, avoids = stats("leans", decided=100, chose_first=80), stats("avoids", decided=100, chose_first=20)
    assert binomtest(61, 100).pvalue < 0.05
    assert leanings([nearly], 2) == ["first"]
    found = leanings([*fair, nearly, leans, avoids], 2)
    assert found == [""] * 301 + ["first", "away"]


def test_of_three_responses_the_first_is_chosen_once_in_three() -> None:
    third = stats("third", decided=300, chose_first=100)
    assert leanings([third], 3) == [""]
    assert leanings([third], 2) == ["away"]


def test_rows_are_found_and_put_in_order() -> None:
    people = [
        stats("r-a", agreed=9, compared=10, judged=3, gold_seen=1),
        stats("r-b", agreed=2, compared=10, judged=9)._replace(status="paused", trust=0.3),
        stats("r-c", judged=5),
    ]
    rows = rows_of(people, {"r-a": ("Ann", False), "r-b": ("Ben", True)}, 2, {"r-b": ["acts as one with 3 others"]})
    assert [row.id for row in chosen(rows, "judged", "all", "", down=True)] == ["r-b", "r-c", "r-a"]
    # Nobody who has no value stands first, whatever the direction.
    assert [row.id for row in chosen(rows, "agreement", "all", "", down=False)] == ["r-b", "r-a", "r-c"]
    assert [row.id for row in chosen(rows, "agreement", "all", "", down=True)] == ["r-a", "r-b", "r-c"]
    assert [row.id for row in chosen(rows, "name", "all", "AN", down=False)] == ["r-a"]
    assert [row.id for row in chosen(rows, "trust", "paused", "", down=False)] == ["r-b"]
    assert [row.id for row in chosen(rows, "trust", "flagged", "", down=False)] == ["r-b"]
    assert [row.id for row in chosen(rows, "trust", "simulated", "", down=False)] == ["r-b"]
    assert row_json(rows[2])["agreement"] == {"value": None, "low": 0.0, "high": 1.0, "of": 0}


def test_every_order_is_an_order() -> None:
    rows = rows_of([stats(f"r{n}", judged=n * 7 % 5, last_at_ms=n) for n in range(9)], {}, 2, {})
    sorts: tuple[Sort, ...] = ("judged", "seen", "trust", "name")
    for sort in sorts:
        ordered = chosen(rows, sort, "all", "", down=False)
        values = [row.stats.judged if sort == "judged" else row.stats.last_at_ms for row in ordered]
        assert sort in ("trust", "name") or all(a <= b for a, b in pairwise(values))
    assert math.isclose(rows[0].stats.trust, 0.75)
