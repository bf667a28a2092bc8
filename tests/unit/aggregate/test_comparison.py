import numpy as np
import pytest
from crowd_simulator import simulate
from scipy.stats import binomtest

from backstay.aggregate import AggregateSettings, collect_votes
from backstay.aggregate.comparison import compare_algorithms


def test_all_algorithms_are_scored_on_the_same_hidden_gold() -> None:
    crowd = simulate(1, items=240, flippers=0.4, gold_share=0.5)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    rows = compare_algorithms(votes, AggregateSettings())
    assert rows[0].algorithm == "reliability"
    assert len({row.algorithm for row in rows}) == len(rows) == 8
    assert {row.items for row in rows} == {int(np.sum(~np.isnan(votes.gold)))}
    by_name = {row.algorithm: row for row in rows}
    assert by_name["majority"].accuracy < by_name["reliability"].accuracy - 0.1
    assert by_name["majority"].p_value < 0.01
    for row in rows:
        assert row.low <= row.accuracy <= row.high
        hits = round(row.accuracy * row.items)
        if row.accuracy * row.items == hits:
            exact = binomtest(hits, row.items).proportion_ci(0.95)
            assert (row.low, row.high) == pytest.approx((exact.low, exact.high))


def test_gold_drawn_by_a_coin_shows_no_leak() -> None:
    crowd = simulate(2, items=300, gold_share=0.5)
    rng = np.random.default_rng(0)
    tasks = [t if t.gold is None else t.model_copy(update={"gold": int(rng.integers(0, 2))}) for t in crowd.tasks]
    for row in compare_algorithms(collect_votes(tasks, crowd.judgments), AggregateSettings()):
        assert abs(row.accuracy - 0.5) < 0.13


def test_without_gold_nothing_is_claimed() -> None:
    crowd = simulate(3, items=20, gold_share=0.0)
    rows = compare_algorithms(collect_votes(crowd.tasks, crowd.judgments), AggregateSettings())
    assert all(row.items == 0 and np.isnan(row.accuracy) and np.isnan(row.low) for row in rows)
